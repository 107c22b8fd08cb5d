"""Where records go, beside which others, and what happens if a disk fails."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_pepr import PePRCallback, RunRecord, load_runs
from lightning_pepr.callbacks._base import WarnOnce
from lightning_pepr.callbacks._writer import RecordWriter, record_folder
from lightning_pepr.record import Epoch
from lightning_pepr.utilities.files import FILE_NAME
from tests.helpers.fits import EPOCH_UJ, SPACE, fit, record_of, uj
from tests.helpers.odd import ODD_FILES, odd_file
from tests.helpers.training import Worker, WorkMeter, trainer


def test_without_a_logger_the_record_is_in_the_root(tmp_path: Path) -> None:
    fit(Worker(), tmp_path)
    assert RunRecord.load(tmp_path / FILE_NAME).status == "finished"


def test_a_fit_that_fails_early_leaves_the_last_runs_record_alone(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path / "one").fit(module)
    first = record_of(callback).run_id
    with pytest.raises(FileNotFoundError):
        trainer(callback, root=tmp_path / "two").fit(module, ckpt_path=tmp_path / "nowhere.ckpt")
    assert callback.run is None, "a run of another trainer, which has not begun"
    assert [path.name for path in (tmp_path / "one").rglob("pepr*.json")] == [FILE_NAME]
    assert RunRecord.load(tmp_path / "one").run_id == first


def test_fit_of_another_model_is_a_new_run_and_the_old_record_stays(tmp_path: Path) -> None:
    module = Worker()
    callback = PePRCallback("val_acc", space=SPACE, meter=WorkMeter(module))
    trainer(callback, root=tmp_path).fit(module)
    first = record_of(callback).run_id
    before = (tmp_path / FILE_NAME).read_bytes()
    trainer(callback, root=tmp_path, max_epochs=1).fit(module)
    second = record_of(callback).run_id
    assert second != first
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert uj(RunRecord.load(tmp_path)) == 3 * EPOCH_UJ
    assert uj(RunRecord.load(tmp_path / f"pepr-{second[:8]}.json")) == EPOCH_UJ


def test_a_disk_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="the record could not be written") as caught:
        fit(Worker(), tmp_path / "root")
    assert len([w for w in caught if "could not be written" in str(w.message)]) == 1


def test_record_false_writes_nothing(tmp_path: Path) -> None:
    module = Worker()
    trainer(PePRCallback("val_acc", space=SPACE, record=False), root=tmp_path).fit(module)
    assert not list(tmp_path.iterdir())


# Where it goes ------------------------------------------------------------------------------------------------------


def test_loggers_without_a_log_dir_get_the_record_where_checkpoints_go(tmp_path: Path) -> None:
    from lightning.pytorch.loggers.logger import Logger

    class Other(Logger):
        name, version, save_dir = "project", "abc123", str(tmp_path)

        def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    fit(Worker(), tmp_path, logger=Other())
    assert (tmp_path / "project" / "abc123" / FILE_NAME).exists()


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_the_home_folder_is_where_the_loggers_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    fit(Worker(), tmp_path / "root", logger=kind("~/logs", name="net"))
    folder = tmp_path / "home" / "logs" / "net" / "version_0"
    assert len(list(folder.iterdir())) >= 3, "the logger's own are there"
    assert RunRecord.load(folder).status == "finished"
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("place", ["file://{}", "local://{}", "{}"])
def test_an_url_of_this_host_is_a_path(tmp_path: Path, place: str) -> None:
    assert record_folder(trainer(root=place.format(tmp_path))).endswith(str(tmp_path))
    writer = make_writer(place.format(tmp_path))
    writer.write(RunRecord("net"))
    assert writer.written_file == tmp_path / FILE_NAME


@pytest.mark.parametrize(("kind", "theirs"), [(CSVLogger, "metrics.csv"), (TensorBoardLogger, "hparams.yaml")])
def test_a_remote_record_is_beside_the_loggers_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, theirs: str
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"memory://remote/{kind.__name__}"
    callback = fit(Worker(), tmp_path, logger=kind(place, name="net"))
    (url,) = remote_files(place, theirs)
    assert remote_files(place, FILE_NAME) == [url.replace(theirs, FILE_NAME)]
    record = RunRecord.load(url.removesuffix(f"/{theirs}"))
    assert (record.status, len(record.epochs), record.run_id) == ("finished", 3, record_of(callback).run_id)
    assert load_runs(place)["run_id"].to_list() == [record.run_id]
    assert remote_files(place, "pepr.jsonl") == []
    assert not list(tmp_path.iterdir())


def test_a_remote_root_holds_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (record_of(fit(Worker(), "memory://remote/root", max_epochs=1)).run_id for _ in range(2))
    assert RunRecord.load("memory://remote/root").run_id == first
    assert RunRecord.load(f"memory://remote/root/pepr-{second[:8]}.json").run_id == second
    assert load_runs("memory://remote/root").height == 2
    assert load_runs("memory://remote/root/pepr.json")["run_id"].to_list() == [first]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["nosuch://bucket/runs", "memory://nothing/there"])
def test_a_remote_place_that_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    if url.startswith("nosuch"):
        writer = make_writer(url)
        with pytest.warns(UserWarning, match=r"the record could not be written to nosuch://.*nosuch"):
            writer.write(RunRecord("net", status="finished"))
    for read in (RunRecord.load, load_runs):
        with pytest.raises((ValueError, FileNotFoundError), match=r"nosuch|nothing/there"):
            read(url)


def remote_files(url: str, name: str) -> list[str]:
    import fsspec

    store, path = fsspec.core.url_to_fs(url)
    return [store.unstrip_protocol(file) for file in store.find(path) if file.endswith(name)]


# What is there already ---------------------------------------------------------------------------------------------

DEEP = "[" * 100_000 + "]" * 100_000
TEXTS = {
    "another's": RunRecord("other", run_id="a/b").to_text(),
    "a path's": RunRecord("other", run_id="../../../etc").to_text(),
    "nobody's": RunRecord("other", run_id="").to_text(),
    "deep": f'{{"schema": "lightning-pepr/run/1", "run_id": {DEEP}}}',
    "deep beside": RunRecord("other").to_text().replace('"settings": {}', f'"settings": {{"a": {DEEP}}}'),
    "no text": "\udcff\x00",
    "of odd types": '{"schema": [], "run_id": 1e999}',
    "empty": "",
    "a journal's": '{"schema":"lightning-pepr/journal/1","run_id":"a/b"}\n{"at": 1e999}\n',
}


@pytest.mark.parametrize("name", ["pepr.json", "pepr.jsonl"])
@pytest.mark.parametrize("what", [*TEXTS, *ODD_FILES])
@pytest.mark.timeout(120)
def test_nothing_in_the_folder_stops_a_training(tmp_path: Path, name: str, what: str) -> None:
    with contextlib.ExitStack() as stack:
        if what in TEXTS:
            (tmp_path / name).write_text(TEXTS[what], encoding="utf-8", errors="surrogateescape")
        else:
            stack.enter_context(odd_file(tmp_path / name, what))
        before = (tmp_path / name).lstat()
        run_ids = [record_of(fit(Worker(), tmp_path)).run_id for _ in range(2)]
        after = (tmp_path / name).lstat()
        assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is left out is named
            runs = load_runs(tmp_path)
        found = {run_id: (status, epochs) for run_id, status, epochs in _runs_in(tmp_path)}
    assert set(run_ids) <= set(runs["run_id"])
    assert [found[run_id] for run_id in run_ids] == [("finished", 3)] * 2


def _runs_in(folder: Path) -> list[tuple[str, str, int]]:
    records = []
    for path in folder.glob("pepr*.json"):
        with contextlib.suppress(OSError, ValueError):
            records.append(RunRecord.load(path))
    return [(record.run_id, record.status, len(record.epochs)) for record in records]


# What fails ---------------------------------------------------------------------------------------------------------


def make_writer(folder: Path | str | None) -> RecordWriter:
    writer = RecordWriter(WarnOnce("PePRCallback: "))
    writer.folder = None if folder is None else str(folder)
    return writer


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    writer = make_writer(None)
    writer.write(RunRecord("model"))
    assert writer.written_file is None
    assert not list(tmp_path.iterdir())


def test_a_disk_that_recovers_gets_the_record(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file where the folder should be")
    writer = make_writer(tmp_path / "full")
    with pytest.warns(UserWarning, match="the record could not be written"):
        writer.write(RunRecord("model"))
    (tmp_path / "full").unlink()
    writer.write(RunRecord("model"))
    assert RunRecord.load(tmp_path / "full").model == "model"


def test_what_a_full_disk_refused_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, writer = RunRecord("net"), make_writer(tmp_path)
    run.epochs = [Epoch(at, at, 0.5) for at in range(3)]
    writer.write(run)
    writer.write(run)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(os, "write", full)
        patch.setattr(os, "fsync", full)
        for at in range(3, 5):
            run.epochs.append(Epoch(at, at, 0.5))
            writer.write(run)
            assert len(RunRecord.load(tmp_path).epochs) == 3
    assert ["No space left" in str(warning.message) for warning in caught] == [True]
    writer.write(run)
    assert RunRecord.load(tmp_path) == run


def test_what_a_user_gave_and_json_does_not_have_is_a_warning(tmp_path: Path) -> None:
    run = RunRecord("net", settings={"what": object()})
    with pytest.warns(UserWarning, match="could not be written .*object"):
        make_writer(tmp_path).write(run)


def test_a_closed_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = make_writer(tmp_path)
    writer.write(RunRecord("net"))
    assert writer.written_file == tmp_path / FILE_NAME
    stat = os.stat

    def closed(path: Any, **options: Any) -> os.stat_result:
        if os.fspath(path).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", closed)
        assert writer.written_file is None
        assert writer.location == str(tmp_path)


@pytest.mark.parametrize("place", ["nosuch://bucket/runs", "file:/tmp/runs", "runs", "~/runs"])
def test_a_checkpoint_says_where_the_record_is(place: str) -> None:
    """A place that no file system is known for must not keep a checkpoint from being saved."""
    writer = RecordWriter(WarnOnce())
    writer.place_in(place)
    location = writer.location
    assert location is not None
    assert location == place if "://" in place else Path(location).is_absolute()
