"""Training and ingestion as a play: real gRPC, scripted answers.

What a page does while a job trains, or when rows are amended, can be shown at the moment that a test wants,
and with every kind of figure. The numbers are made up; the figures are made by `models.interpret`.
"""

from concurrent import futures

import grpc
import numpy as np
import pyarrow as pa
from boarfish.v1 import ingestion_pb2, ingestion_pb2_grpc, task_pb2, training_pb2, training_pb2_grpc

from models import figures
from models.interpret import confusion, losses, regression
from services.training.figures import to_proto

NOW_S = 1_790_000_000
SHAPES = ("circle", "square", "triangle")
VERSIONS = {name: f"{place}" * 64 for place, name in enumerate(("net", "forest", "houses"), start=1)}
RUNNING = training_pb2.TRAINING_JOB_STATE_RUNNING
SUCCEEDED = training_pb2.TRAINING_JOB_STATE_SUCCEEDED
FAILED = training_pb2.TRAINING_JOB_STATE_FAILED


class Stage(training_pb2_grpc.TrainingServiceServicer, ingestion_pb2_grpc.IngestionServiceServicer):
    """Four runs: of shapes one that trains (`advance` moves it), one that failed and one that is done; and
    houses.

    What was asked of it is kept in `amended` and `created`.
    """

    def __init__(self) -> None:
        self.amended: list[ingestion_pb2.AmendRecordsRequest] = []
        self.created: list[training_pb2.CreateTrainingJobRequest] = []
        self.latest_version = {"shapes": 4, "houses": 1}
        self.epoch = 0
        versions = [
            _version("net", "conv_net", "shapes", 0.91, {"epochs": "6", "batch_size": "64", "seed": "0"}),
            _version("forest", "random_forest", "shapes", 0.83, {"trees": "100", "seed": "0"}),
            _version("houses", "xgboost", "houses", 0.4, {"iterations": "200"}, metric="r2", better=False),
        ]
        self.versions = {version.id: version for version in versions}
        self.jobs = [
            _job("run-live", shapes(), RUNNING),
            _job("run-failed", shapes(), FAILED, error="Every training row has the same label. Add rows."),
            _job("run-done", shapes(), SUCCEEDED, versions=versions[:2], days_ago=1),
            _job("run-houses", houses(), SUCCEEDED, versions=versions[2:], days_ago=3),
        ]
        self.advance(1)

    def advance(self, epoch: int) -> None:
        """Brings the running job to the end of `epoch` of 6; at 6 it has succeeded."""
        self.epoch = epoch
        job = self.jobs[0]
        if epoch >= 6:
            job.state = SUCCEEDED
            job.end_time.FromSeconds(NOW_S + 200)
            job.model_versions.append(self.versions[VERSIONS["net"]])
        job.progress.epoch = epoch
        job.progress.stage = f"conv_net: epoch {epoch} of 6"
        job.progress.rows_per_s = 412.0
        job.progress.fraction_done = epoch / 6
        job.progress.time_left.FromSeconds(30 * (6 - epoch))

    def ListTrainingJobs(self, request, context):  # noqa: N802
        return training_pb2.ListTrainingJobsResponse(jobs=self.jobs)

    def GetTrainingJob(self, request, context):  # noqa: N802
        job = next(job for job in self.jobs if job.id == request.id)
        return training_pb2.GetTrainingJobResponse(job=job)

    def CreateTrainingJob(self, request, context):  # noqa: N802
        self.created.append(request)
        job = _job(f"run-new-{len(self.created)}", request.task, training_pb2.TRAINING_JOB_STATE_QUEUED)
        job.dataset_version = request.dataset_version
        self.jobs.insert(0, job)
        return training_pb2.CreateTrainingJobResponse(job=job)

    def GetTrainingCurve(self, request, context):  # noqa: N802
        epochs = {"run-live": self.epoch, "run-done": 6}.get(request.id, 0)
        answer = training_pb2.GetTrainingCurveResponse()
        for epoch in range(1, epochs + 1):
            point = answer.points.add(model="conv_net", epoch=epoch)
            point.train_loss, point.validation_loss = 1.2 / epoch, 1.25 / epoch + 0.05
            point.metrics["accuracy"], point.metrics["macro_f1"] = 0.92 - 0.5 / epoch, 0.9 - 0.55 / epoch
        return answer

    def FindLearningRate(self, request, context):  # noqa: N802
        rates = np.geomspace(1e-6, 1, 80)
        curve = 1.1 - 0.8 / (1 + (3e-3 / rates) ** 1.2) + (rates / 0.25) ** 3
        return training_pb2.FindLearningRateResponse(
            learning_rates=rates, losses=curve.clip(max=3), suggestion=6e-3, steep=3e-3, minimum=1e-2
        )

    def ListModelVersions(self, request, context):  # noqa: N802
        return training_pb2.ListModelVersionsResponse(model_versions=self.versions.values())

    def GetModelVersion(self, request, context):  # noqa: N802
        return training_pb2.GetModelVersionResponse(model_version=self.versions[request.id])

    def GetModelVersionFigures(self, request, context):  # noqa: N802
        shown = {VERSIONS["net"]: picture_figures, VERSIONS["houses"]: table_figures}
        made = shown.get(request.id, list)()
        return training_pb2.GetModelVersionFiguresResponse(figures=[to_proto(figure) for figure in made])

    def GetDataset(self, request, context):  # noqa: N802
        task = {"shapes": shapes, "houses": houses}[request.name]()
        latest = self.latest_version[request.name]
        dataset = ingestion_pb2.Dataset(name=request.name, task=task, latest_version=latest, row_count=600)
        return ingestion_pb2.GetDatasetResponse(dataset=dataset)

    def AmendRecords(self, request, context):  # noqa: N802
        self.amended.append(request)
        self.latest_version[request.dataset] += 1
        deleted = sum(one.WhichOneof("change") == "delete" for one in request.amendments)
        return ingestion_pb2.AmendRecordsResponse(
            relabelled_count=len(request.amendments) - deleted,
            deleted_count=deleted,
            dataset_version=self.latest_version[request.dataset],
        )


def serve(stage: Stage) -> tuple[grpc.Server, str]:
    """Starts the stage on a free port; the server and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    training_pb2_grpc.add_TrainingServiceServicer_to_server(stage, server)
    ingestion_pb2_grpc.add_IngestionServiceServicer_to_server(stage, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def shapes() -> task_pb2.Task:
    """Pictures of one of three shapes, by two models."""
    task = task_pb2.Task(
        name="shapes",
        display_name="Shapes",
        kind=task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION,
        id_column="name",
        target=task_pb2.Target(name="shape", classes=SHAPES),
    )
    task.training.models.add().conv_net.SetInParent()
    task.training.models.add().random_forest.SetInParent()
    return task


def houses() -> task_pb2.Task:
    """A number out of a table, by one model."""
    task = task_pb2.Task(
        name="houses",
        display_name="Houses",
        kind=task_pb2.TASK_KIND_REGRESSION,
        id_column="address",
        target=task_pb2.Target(name="price"),
    )
    task.training.models.add().xgboost.SetInParent()
    return task


def picture_figures() -> list[figures.Figure]:
    """What a classifier of pictures has, and a body of each other kind."""
    generator = np.random.default_rng(2)
    label = generator.integers(0, 3, 300)
    probability = generator.dirichlet(np.ones(3), 300) * 0.4 + 0.6 * np.eye(3)[label]
    probability[:9] = np.roll(probability[:9], 1, 1)
    ids = [f"shape-{row:03}" for row in range(300)]
    counts = confusion.confusion_counts(label, probability.argmax(1), 3)
    return [
        confusion.confusion_matrix(counts, SHAPES),
        confusion.most_confused(counts, SHAPES),
        losses.top_loss_pictures(_drawn(label, generator), label, probability, SHAPES, ids),
        *confusion.class_rates(counts, SHAPES),
        figures.Figure(
            "activations",
            "Activations while it trained",
            "The share of units near zero stays low in every layer.",
            figures.Lines(
                tuple(float(step) for step in range(50)),
                tuple(
                    (f"layer {n}", tuple((0.5 / n * np.exp(-np.arange(50) / 20)).tolist())) for n in (1, 2, 3)
                ),
                "step",
                "share near zero",
            ),
        ),
        figures.Figure(
            "embedding",
            "Classes in two dimensions",
            "Squares and circles lie next to each other.",
            figures.Points(
                (0.1, 0.2, 2.0), (1.0, 1.1, -1.0), SHAPES, ("round", "edged", "edged"), "PC 1", "PC 2"
            ),
        ),
        figures.Figure(
            "redundant",
            "Redundant columns",
            "Height and width say nearly the same.",
            figures.Dendrogram(
                ("width", "depth", "height", "age"),
                ((0, 2, 0.05), (1, 4, 0.4), (3, 5, 0.9)),
                "1 - rank correlation",
            ),
        ),
    ]


def table_figures() -> list[figures.Figure]:
    """What a regression over a table has."""
    generator = np.random.default_rng(3)
    actual = generator.gamma(3.0, 100.0, 400)
    predicted = actual * generator.normal(1.0, 0.2, 400)
    rows = pa.table({"rooms": generator.integers(1, 8, 400), "street": ["Elm"] * 400})
    return regression.figures_of(actual, predicted, "price", [f"{row} Elm St" for row in range(400)], rows)


def _drawn(label: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    inside = np.stack(
        [x**2 + y**2 < 0.5, (abs(x) < 0.6) & (abs(y) < 0.6), (y < 0.6) & (abs(x) < (y + 0.8) / 2)]
    )[label]
    colour = generator.integers(60, 256, (len(label), 1, 1, 3))
    return np.where(inside[..., None], colour, 24).astype(np.uint8)


def _version(
    name: str,
    model: str,
    dataset: str,
    value: float,
    parameters: dict[str, str],
    *,
    metric: str = "accuracy",
    better: bool = True,
) -> training_pb2.ModelVersion:
    version = training_pb2.ModelVersion(
        id=VERSIONS[name],
        task_name=dataset,
        model=model,
        dataset=dataset,
        dataset_version={"shapes": 3, "houses": 1}[dataset],
        parameters=parameters,
        model_card=f"# {dataset}\n\nMade for tests.",
    )
    version.create_time.FromSeconds(NOW_S)
    for key, centre in ((metric, value), ("loss", 1 - value)):
        estimate = version.metrics[key]
        estimate.value, estimate.lower, estimate.upper = centre, centre - 0.03, centre + 0.03
        estimate.confidence, estimate.count = 0.95, 300
    version.baseline.better = better
    verdict = "better than" if better else "not better than"
    version.baseline.statement = (
        f"{metric} {value:.3f}, {verdict} always the majority class: +{value / 2:.3f}."
    )
    version.parity.CopyFrom(
        training_pb2.ExportParity(what="probability", largest_difference=2e-6, tolerance=1e-4, count=300)
    )
    return version


def _job(
    identity: str, task: task_pb2.Task, state: int, *, error: str = "", versions: list = (), days_ago: int = 0
) -> training_pb2.TrainingJob:
    job = training_pb2.TrainingJob(
        id=identity, task=task, dataset=task.name, dataset_version=3, state=state, error=error
    )
    job.model_versions.extend(versions)
    job.create_time.FromSeconds(NOW_S - days_ago * 86_400)
    if state in (SUCCEEDED, FAILED):
        job.end_time.FromSeconds(job.create_time.ToSeconds() + 190)
    return job
