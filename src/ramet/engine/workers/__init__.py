"""What trains turns in this process: a training loop, or all free members as one program."""
