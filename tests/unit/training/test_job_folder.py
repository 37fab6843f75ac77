"""The worker's words, and its order."""

import math

from boarfish.v1 import task_pb2, training_pb2

from services.training.job_folder import JobFolder, Order, Report, decode, encode


def test_an_order_reads_back(tmp_path):
    folder = JobFolder(tmp_path / "job")
    order = Order("job", "people", 9, "lake", "models", "mlflow", "weights", 2)
    folder.write(order, task_pb2.Task(name="work"))
    assert folder.read() == (order, task_pb2.Task(name="work"))
    folder.remove()
    assert not folder.path.exists()


def test_what_the_rate_finder_found_reads_back():
    found = training_pb2.FindLearningRateResponse(
        learning_rates=[1e-5, 1e-2], losses=[2.0, 0.5], suggestion=1e-3
    )
    assert decode(encode(Report(found=found))).found == found


def test_reports_read_back():
    progress = training_pb2.TrainingProgress(stage="é\n", train_loss=math.nan, metrics={"auc": 0.5})
    line = encode(Report(progress=progress))
    assert line.count(b"\n") == 1
    read = decode(line).progress
    assert read.stage == "é\n"
    assert math.isnan(read.train_loss)
    assert decode(encode(Report(finished=("a", "b")))) == Report(finished=("a", "b"))
    assert decode(encode(Report(failed="no"))) == Report(failed="no")


def test_a_line_that_was_cut_off_says_nothing():
    for line in (b"", b'{"progress": {"sta', b"[]\n", b"null\n", b'{"finished": 3}', b"\xff\xfe\n"):
        assert decode(line) == Report()
