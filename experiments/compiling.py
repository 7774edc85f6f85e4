"""Programs that JAX compiled, kept for the next trial: compiling takes longer than training."""

from pathlib import Path

import jax

from experiments.trials import Setting


def keep_programs(setting: Setting) -> None:
    """Have JAX keep what it compiles, in a folder beside the runs."""
    folder = Path(setting.store).absolute().parent / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]  # JAX has no types here
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # type: ignore[no-untyped-call]  # JAX has no types here
