"""What is wrong with a YAML file, in a few words that repeat nothing of it."""


def problem_of(error: Exception) -> str:
    """Return the line and the problem; the library's own text repeats lines, with what is secret.

    Args:
        error: a `yaml.YAMLError`.
    """
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{getattr(error, 'problem', None) or 'it is no YAML'}"
