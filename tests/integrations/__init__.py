from tests.frameworks import framework

framework("lightning")
framework("transformers", extra="huggingface")
framework("accelerate", extra="huggingface")
framework("stable_baselines3", extra="sb3")
