from tests.frameworks import framework

framework("torch")
