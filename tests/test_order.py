"""`make test` begins the long files first."""

from tests import conftest
from tests.calling import REPOSITORY


def test_the_long_files_are_there_and_make_keeps_their_order():
    for file in conftest.LONGEST:
        assert (REPOSITORY / "tests" / file).is_file(), (
            f"{file}: correct LONGEST in tests/conftest.py"
        )
    assert "--no-loadscope-reorder" in (REPOSITORY / "Makefile").read_text()


def test_they_come_first_and_in_their_order():
    class Item:
        def __init__(self, name):
            self.path = REPOSITORY / "tests" / name

    names = ["test_a.py", conftest.LONGEST[1], "app/test_b.py", conftest.LONGEST[0], "test_a.py"]
    items = [Item(name) for name in names]
    conftest.pytest_collection_modifyitems(items)
    found = [str(item.path.relative_to(REPOSITORY / "tests")) for item in items]
    assert found == [*conftest.LONGEST[:2], "test_a.py", "app/test_b.py", "test_a.py"]
