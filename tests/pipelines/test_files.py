import bz2
import gzip
import itertools
import lzma

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipelines import files
from pipelines.files import InputFile, UnreadableFileError, match_files, read_lines

COMPRESS = {
    "": lambda content: content,
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".gz": gzip.compress,
}
COMPRESSED = [ending for ending in COMPRESS if ending]
CONTENT = b"".join(b'{"line": %d, "text": "%s"}\n' % (n, bytes([65 + n % 26]) * (n % 200)) for n in range(10_000))


def lines_of(path) -> list[bytes]:
    return list(itertools.chain.from_iterable(read_lines(str(path))))


def expect_lines(found: list[bytes], content: bytes) -> None:
    """The lines of `content`; after its last line end an empty one may or may not follow."""
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert found == expected or found == [*expected, b""]


@pytest.mark.parametrize("ending", COMPRESS)
def test_each_compression_gives_the_plain_file_s_lines(tmp_path, ending):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](CONTENT))
    expect_lines(lines_of(path), CONTENT)


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("cut", [1, 100_001, len(CONTENT) - 1])
def test_members_and_frames_follow_one_another(tmp_path, ending, cut):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](CONTENT[:cut]) + COMPRESS[ending](b"") + COMPRESS[ending](CONTENT[cut:]))
    expect_lines(lines_of(path), CONTENT)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_member_that_ends_with_a_chunk_is_followed_by_the_next(tmp_path, monkeypatch, ending):
    first = COMPRESS[ending](b"one\ntwo\n")
    path = tmp_path / f"dump{ending}"
    path.write_bytes(first + COMPRESS[ending](b"three\n"))
    monkeypatch.setattr(files, "CHUNK_BYTES", len(first))
    expect_lines(lines_of(path), b"one\ntwo\nthree\n")


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2"])
def test_zeros_after_the_last_member_are_padding(tmp_path, ending):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](b"one\n") + bytes(512))
    expect_lines(lines_of(path), b"one\n")


def test_a_window_beyond_zstd_s_default_limit_is_read(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "RC.zst"
    path.write_bytes(stream.compress(CONTENT) + stream.flush())
    # The fixture is what it claims to be: the library's default refuses it.
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    expect_lines(lines_of(path), CONTENT)


@pytest.mark.parametrize("ending", COMPRESS)
def test_two_files_can_be_read_in_turns(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(files, "BLOCK_BYTES", 1 << 14)
    contents = {"one": CONTENT, "other": CONTENT[::-1].lstrip(b"\n")}
    for name, content in contents.items():
        (tmp_path / f"{name}{ending}").write_bytes(COMPRESS[ending](content))
    found = {name: [] for name in contents}
    readers = [read_lines(str(tmp_path / f"{name}{ending}")) for name in contents]
    for blocks in itertools.zip_longest(*readers, fillvalue=[]):
        for name, lines in zip(contents, blocks, strict=True):
            found[name] += lines
    for name, content in contents.items():
        expect_lines(found[name], content)


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")), max_size=30),
    st.booleans(),
    st.integers(6, 50),  # the first chunk holds the format's mark
    st.integers(1, 40),
    st.sampled_from(list(COMPRESS)),
)
def test_chunks_and_blocks_never_show_in_the_lines(tmp_path_factory, lines, ended, chunk, block, ending):
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    path = tmp_path_factory.mktemp("lines") / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK_BYTES", chunk)
        patch.setattr(files, "BLOCK_BYTES", block)
        found = lines_of(path)
    expect_lines(found, content)


def test_blocks_are_about_a_megabyte(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(CONTENT * 3)
    sizes = [sum(len(line) + 1 for line in block) for block in read_lines(str(path))]
    assert len(sizes) > 2 and max(sizes) < 3 << 20


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_a_truncated_file_is_named(tmp_path, ending, kept):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](CONTENT)[:kept])
    with pytest.raises(UnreadableFileError, match=rf"dump\{ending}: .*fetch it again"):
        lines_of(path)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_lines_before_the_damage_are_given_and_then_the_file_is_named(tmp_path, ending):
    path = tmp_path / f"dump{ending}"
    whole = COMPRESS[ending](CONTENT)
    path.write_bytes(whole[: len(whole) - 3])
    with pytest.raises(UnreadableFileError, match=rf"dump\{ending}"):
        lines_of(path)


@pytest.mark.parametrize(
    ("ending", "really"), [(one, other) for one in COMPRESSED for other in COMPRESS if one != other]
)
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, ending, really):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[really](CONTENT))
    with pytest.raises(UnreadableFileError, match=rf"dump\{ending}: not a \w+ file, as its name says"):
        lines_of(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])  # zstd frames need not carry a checksum
def test_a_flipped_byte_inside_is_named(tmp_path, ending):
    whole = bytearray(COMPRESS[ending](CONTENT))
    whole[len(whole) // 2] ^= 0xFF
    path = tmp_path / f"dump{ending}"
    path.write_bytes(whole)
    with pytest.raises(UnreadableFileError, match=rf"dump\{ending}: damaged"):
        lines_of(path)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_garbage_after_the_last_member_is_named(tmp_path, ending):
    path = tmp_path / f"dump{ending}"
    path.write_bytes(COMPRESS[ending](b"one\n") + b"garbage")
    with pytest.raises(UnreadableFileError, match=rf"dump\{ending}: "):
        lines_of(path)


def test_a_line_without_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 1 << 21)
    path = tmp_path / "binary"
    path.write_bytes(b"x" * (1 << 22))
    with pytest.raises(UnreadableFileError, match="binary: a line of over 2,097,152 bytes; expected one record a line"):
        lines_of(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableFileError, match="gone: cannot be read"):
        lines_of(tmp_path / "gone")


def test_globs_give_each_file_once_and_sorted(tmp_path):
    for name, content in {"b.zst": b"22", "a.zst": b"1", "a.txt": b"333"}.items():
        (tmp_path / name).write_bytes(content)
    globs = (f"{tmp_path}/*.zst", f"{tmp_path}/a.*", f"{tmp_path}/b.zst")
    expected = [("a.txt", 3), ("a.zst", 1), ("b.zst", 2)]
    assert match_files(globs) == [InputFile(f"{tmp_path}/{name}", size) for name, size in expected]


def test_every_glob_without_a_file_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"x\*.*y\*; expected the path or glob"):
        match_files((f"{tmp_path}/x*", f"{tmp_path}/a", f"{tmp_path}/y*"))
