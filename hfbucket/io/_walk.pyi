from hfbucket.io.tarwalk import PlainSample

def samples(
    descriptor: int, position: int, end: int, open_key: str, images: str, max_pixels: int, most: int, /
) -> tuple[int, list[PlainSample]]: ...
def samples_in(
    piece: bytes, start: int, position: int, end: int, open_key: str, images: str, max_pixels: int, most: int, /
) -> tuple[int, list[PlainSample]]: ...
