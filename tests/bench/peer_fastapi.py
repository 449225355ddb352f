# SPDX-License-Identifier: MIT
"""The peer that people run today: FastAPI, pydantic, xgboost and a dictionary as cache, in one uvicorn worker.

Environment: PEER_MODEL (XGBoost JSON), PEER_FEATURES (comma-separated names in order).
POST /predict {"features": {...}} answers {"prediction": p}; a repeated row is answered from the dictionary.
"""
import os
import time
from typing import Dict, Optional

import numpy
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel

FEATURES = os.environ["PEER_FEATURES"].split(",")
TTL_SECONDS = 3600.0
booster = xgboost.Booster({"nthread": 1})
booster.load_model(os.environ["PEER_MODEL"])
app = FastAPI()
cache = {}


class Question(BaseModel):
    features: Dict[str, Optional[float]]
    use_cache: bool = True


@app.post("/predict")
async def predict(question: Question):
    row = tuple(question.features.get(name) for name in FEATURES)
    now = time.monotonic()
    found = cache.get(row) if question.use_cache else None
    if found is not None and found[0] > now:
        return {"prediction": found[1]}
    values = numpy.array([[numpy.nan if v is None else v for v in row]], dtype=numpy.float32)
    prediction = float(booster.inplace_predict(values)[0])
    cache[row] = (now + TTL_SECONDS, prediction)
    return {"prediction": prediction}
