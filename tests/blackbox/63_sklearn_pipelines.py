#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A pipeline of scikit-learn, exported, served: requests give raw features, texts and all."""
import http.client
import json
import os
import subprocess
import sys
import warnings

import harness
from harness import BUILD, SOURCE, Skip, check, contains, equal

AUGURY = os.path.join(BUILD, "augury")
TITANIC = os.path.join(SOURCE, "tests", "data", "tables", "titanic.csv")
sys.path.insert(0, os.path.join(SOURCE, "etc", "export"))
warnings.simplefilter("ignore")


def trained():
    """The table, and a pipeline fitted to it."""
    try:
        import pandas
        from sklearn import compose, ensemble, impute, pipeline, preprocessing
    except ImportError as missing:
        raise Skip(f"{missing.name} is not installed") from missing
    frame = pandas.read_csv(TITANIC).astype({"Pclass": float, "SibSp": float, "Parch": float})
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    columns = compose.ColumnTransformer([
        ("numbers", numbers, ["Age", "Fare"]), ("class", "passthrough", ["Pclass"]),
        ("port", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["Embarked"]),
        ("sex", preprocessing.OneHotEncoder(), ["Sex"])])
    model = pipeline.make_pipeline(columns, ensemble.GradientBoostingClassifier(n_estimators=30))
    return frame, model.fit(frame.drop(columns="Survived"), frame["Survived"])


def exported(daemon):
    import augury_sklearn
    frame, model = trained()
    path = os.path.join(daemon.dir, "model.json")
    augury_sklearn.export(model, path, frame)
    os.chmod(path, 0o644)
    return path, frame, model


def command(daemon, *words):
    return subprocess.run([AUGURY, "-c", daemon.conf_path, *words], capture_output=True, text=True,
                          timeout=60, check=False)


def ask(daemon, rows):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port(), timeout=10)
    connection.request("POST", "/api/v1/predict/titanic",
                       json.dumps({"rows": rows, "outputs": ["probabilities"]}),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


def test_raw_features_are_answered_as_scikit_learn_answers_them(daemon):
    path, frame, model = exported(daemon)
    daemon.start()
    done = command(daemon, "model", "import", "titanic", path)
    equal((done.returncode, done.stderr), (0, ""))
    frame = frame.drop(columns="Survived").head(200).copy()
    frame.loc[::9, "Embarked"] = "Zanzibar"
    rows = [{name: None if cell != cell else cell for name, cell in row.items()}
            for row in frame.to_dict(orient="records")]
    status, document = ask(daemon, rows)
    equal(status, 200, str(document))
    for row, (no, yes) in zip(document["predictions"], model.predict_proba(frame)):
        told = row["probabilities"]
        told = list(told.values()) if isinstance(told, dict) else told
        check(abs(told[0] - no) < 1e-12 and abs(told[1] - yes) < 1e-12, (told, no, yes))
    daemon.stop()


def test_a_text_that_the_pipeline_refuses_is_refused(daemon):
    path, frame, _ = exported(daemon)
    daemon.start()
    equal(command(daemon, "model", "import", "titanic", path).returncode, 0)
    row = frame.drop(columns="Survived").iloc[0].to_dict()
    row = {name: None if cell != cell else cell for name, cell in row.items()}
    status, document = ask(daemon, [dict(row, Sex="other")])
    equal((status, document["code"]), (400, "invalid_category"), str(document))
    status, document = ask(daemon, [dict(row, Pclass=None)])
    equal((status, document["code"]), (400, "missing_feature"), str(document))
    daemon.stop()


def test_a_changed_model_is_not_imported(daemon):
    path, _, _ = exported(daemon)
    with open(path, encoding="utf-8") as file:
        made = json.load(file)
    made["init"][0] += 1e-6
    with open(path, "w", encoding="utf-8") as file:
        json.dump(made, file)
    daemon.start()
    done = command(daemon, "model", "import", "titanic", path)
    check(done.returncode != 0, done.stdout)
    contains(done.stderr, "expected")
    contains(done.stderr, "row ")
    status, document = ask(daemon, [{}])
    equal(status, 404, str(document))
    daemon.stop()


if __name__ == "__main__":
    harness.run(globals())
