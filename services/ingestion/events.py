"""What a prediction event must look like before it enters the lake."""

import pyarrow as pa
import pyarrow.compute as pc
from boarfish.errors import FieldViolation, InvalidArgument

_TIME = pa.timestamp("us", "UTC")
COLUMNS = {
    "prediction_id": pa.utf8(),
    "model_version": pa.utf8(),
    "role": pa.utf8(),
    "event_time": _TIME,
    "logged_time": _TIME,
    "score": pa.float64(),
    "decision": pa.utf8(),
    "latency_us": pa.int64(),
    "simulation": pa.utf8(),
}
ROLES = ("CHAMPION", "SHADOW")


def check_events(table: pa.Table) -> pa.Table:
    """`table` with its known columns in their types.

    Raises `InvalidArgument` naming the column that is lacking or wrong.
    """
    if len(set(table.column_names)) != len(table.column_names):
        raise InvalidArgument.of(FieldViolation("arrow_ipc", "names a column twice"))
    problems = [
        FieldViolation(f"arrow_ipc.{name}", "is missing")
        for name in COLUMNS
        if name not in table.column_names
    ]
    if problems:
        raise InvalidArgument.of(*problems)
    for name, kind in COLUMNS.items():
        position = table.schema.get_field_index(name)
        try:
            column = table.column(position).cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            found = table.schema.field(position).type
            raise InvalidArgument.of(
                FieldViolation(f"arrow_ipc.{name}", f"has type {found}; must be {kind}")
            ) from error
        if column.null_count:
            raise InvalidArgument.of(
                FieldViolation(f"arrow_ipc.{name}", "has missing values; every event needs one")
            )
        table = table.set_column(position, name, column)
    if not pc.all(pc.is_in(table.column("role"), pa.array(ROLES))).as_py():
        raise InvalidArgument.of(FieldViolation("arrow_ipc.role", "must be CHAMPION or SHADOW"))
    score = table.column("score")
    if not pc.all(pc.and_(pc.greater_equal(score, 0.0), pc.less_equal(score, 1.0))).as_py():
        raise InvalidArgument.of(FieldViolation("arrow_ipc.score", "must be between 0 and 1"))
    for field in table.schema:
        if pa.types.is_nested(field.type) or field.name.startswith("_"):
            raise InvalidArgument.of(
                FieldViolation(f"arrow_ipc.{field.name}", f"has type {field.type}, which no event column has")
            )
    return table
