def f(completions, **kwargs)
    return []
