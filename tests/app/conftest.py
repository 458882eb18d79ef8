"""gradio leaves empty folders in the temporary folder; here they go with the test's own."""

import tempfile

import pytest


@pytest.fixture(scope="module", autouse=True)
def own_temporary_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("gradio")))
        yield
