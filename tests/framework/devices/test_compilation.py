from podway.framework.devices import compilation


def test_the_option_wins_over_the_variable_and_that_over_the_workdir(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/variable")
    assert compilation.folder("/option", "w") == "/option"
    assert compilation.folder("", "w") == "/variable"
    assert compilation.folder("off", "w") is None
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert compilation.folder("", "w") == "w/compiled"
