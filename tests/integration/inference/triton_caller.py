"""Calls a deployment by NVIDIA's client: `python triton_caller.py ADDRESS DEPLOYMENT ROWS`. Prints what it
got as JSON.

A process of its own, as the client's protobuf descriptors and ours cannot live in one.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton

address, deployment, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = triton.InferenceServerClient(address)
metadata = client.get_model_metadata(deployment)
inputs = []
for one in metadata.inputs:
    kind = {"FP64": np.float64, "INT64": np.int64, "BYTES": object}[one.datatype]
    values = np.array([row[one.name] for row in rows], kind)
    tensor = triton.InferInput(one.name, [len(rows)], one.datatype)
    tensor.set_data_from_numpy(values)
    inputs.append(tensor)
result = client.infer(deployment, inputs, request_id="seven")
wrong = triton.InferInput("AGEP", [1], "FP64")
wrong.set_data_from_numpy(np.array([30.0]))
try:
    client.infer(deployment, [wrong])
    refused = ""
except triton.InferenceServerException as error:
    refused = f"{error.status()}: {error.message()}"
print(
    json.dumps(
        {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(deployment),
            "server": client.get_server_metadata().name,
            "versions": list(metadata.versions),
            "id": result.get_response().id,
            "probability": result.as_numpy("probability").tolist(),
            "decision": [text.decode() for text in result.as_numpy("decision")],
            "prediction_id": [text.decode() for text in result.as_numpy("prediction_id")],
            "refused": refused,
        }
    )
)
