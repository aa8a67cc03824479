import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.files import InputFile
from pipelines.layout import (
    BASE_MEMORY,
    MAX_BITS,
    PARTITION_MEMORY,
    TASK_BYTES,
    TASK_FILES,
    identity_of,
    local_folder,
    parse_size,
    partition_bits,
    plain_bytes,
    plan_tasks,
    read_tasks,
    write_tasks,
)
from pipelines.stages import Task

FILES = st.lists(st.builds(InputFile, st.uuids().map(str), st.integers(0, 1 << 26)), max_size=40)


@pytest.mark.parametrize(
    ("path", "size", "bits"),
    [("a", 0, 1), ("a", 64 << 20, 2), ("a.zst", 64 << 20, 5), ("a.bz2", 64 << 20, 5), ("a.zst", 1 << 50, MAX_BITS)],
)
def test_bigger_inputs_get_more_partitions(path, size, bits):
    assert partition_bits([InputFile(path, size)], workers=1, memory=None, passes=None) == bits


@pytest.mark.parametrize(("passes", "bits"), [(1, 1), (2, 1), (3, 2), (8, 3), (64, 6), (65, 7), (1 << 20, MAX_BITS)])
def test_there_are_at_least_as_many_partitions_as_passes(passes, bits):
    assert partition_bits([InputFile("a", 1 << 40)], workers=3, memory=1 << 30, passes=passes) == bits


@given(FILES, st.integers(1, 8), st.integers(400 << 20, 64 << 30))
def test_partitions_of_all_workers_fit_the_memory(files, workers, memory):
    least = workers * (BASE_MEMORY + (PARTITION_MEMORY << 20))
    if memory < least:
        with pytest.raises(
            ValueError, match=f"memory is {memory:,} bytes for {workers} workers; expected at least {least:,}"
        ):
            partition_bits(files, workers=workers, memory=memory, passes=None)
        return
    bits = partition_bits(files, workers=workers, memory=memory, passes=None)
    partition = plain_bytes(files) / 2**bits
    assert bits == MAX_BITS or workers * (BASE_MEMORY + PARTITION_MEMORY * partition) <= memory
    assert bits >= partition_bits(files, workers=workers, memory=None, passes=None)


@given(FILES, st.integers(1, 9), st.booleans())
def test_tasks_read_every_file_once_whole_or_in_all_its_stripes(files, workers, splittable):
    tasks = list(plan_tasks(files, workers=workers, splittable=splittable))
    assert [task.number for task in tasks] == list(range(len(tasks)))
    read = sorted((path, task.stripe, task.stripes) for task in tasks for path in task.inputs)
    stripes = {path: of for path, _, of in read}
    assert read == sorted((file.path, n, stripes[file.path]) for file in files for n in range(stripes[file.path]))
    sizes = {file.path: file.bytes for file in files}
    for task in tasks:
        assert 0 < len(task.inputs) <= TASK_FILES
        assert sum(sizes[path] for path in task.inputs[:-1]) < TASK_BYTES
        assert task.stripes == 1 or (splittable and workers > 1 and sizes[task.inputs[0]] > 1 << 20)


def test_one_big_file_has_work_for_all_workers():
    tasks = list(plan_tasks([InputFile("a", 1 << 30)], workers=3, splittable=True))
    assert tasks == [Task(n, ("a",), n, 4) for n in range(4)]
    assert list(plan_tasks([InputFile("a", 1 << 30)], workers=3, splittable=False)) == [Task(0, ("a",))]


def test_many_small_files_are_few_tasks():
    tasks = list(plan_tasks([InputFile(f"f{n}", 10) for n in range(1000)], workers=2, splittable=True))
    assert [len(task.inputs) for task in tasks] == [256, 256, 256, 232]


TASKS = st.lists(
    st.builds(Task, st.integers(0, 9), st.lists(st.text(max_size=9)).map(tuple), st.integers(0, 7), st.integers(1, 8)),
    max_size=9,
)


@given(TASKS)
def test_tasks_come_back_from_their_file(tmp_path_factory, tasks):
    path = str(tmp_path_factory.mktemp("tasks") / "tasks")
    write_tasks(path, iter(tasks))
    assert list(read_tasks(path)) == tasks


def test_an_identity_is_that_of_equal_jobs_alone():
    assert identity_of("a", [1]) == identity_of("a", [1]) != identity_of("a", [2])
    assert len(identity_of("\ud800")) == 12  # file names need not be Unicode


def test_spills_of_a_remote_output_lie_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert local_folder("/data/out/.staging-abc", "abc") == "/data/out/.staging-abc"
    folder = local_folder("gs://bucket/out/.staging-abc", "abc")
    assert folder == str(tmp_path / "pairstream-abc") and (tmp_path / "pairstream-abc").is_dir()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 << 30),
        ("512M", 512 << 20),
        ("2GB", 2 << 30),
        ("1GiB", 1 << 30),
        ("1.5k", 1536),
        (" 77 ", 77),
        ("1t", 1 << 40),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "8X", "-1G", "1e9", "8 G B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected bytes, such as 8G or 512M"):
        parse_size(text)
