from tests.frameworks import framework

framework("matplotlib", "plots")
