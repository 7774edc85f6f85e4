from tests.frameworks import framework

framework("jax")
