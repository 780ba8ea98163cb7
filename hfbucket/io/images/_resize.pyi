def bicubic(
    kernel: str,
    arrow_array: object,
    size: tuple[int, int],
    resized: tuple[int, int],
    box: tuple[int, int, int, int],
    down_first: bool,
    /,
) -> bytes: ...
def kernels() -> list[str]: ...
