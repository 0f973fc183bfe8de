"""Seconds to import the package and to unpickle and predict, in fresh processes.

python tests/benchmarks/bench_import.py [--repeats 7]

Processes alternate; the figures are medians, less what Python itself takes to start.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import describe
from sklearn.datasets import load_iris

from sknas import NASMLPClassifier

IMPORTS = {
    "sklearn's MLPClassifier": "from sklearn.neural_network import MLPClassifier",
    "sknas": "import sknas",
    "torch": "import torch",
}
PREDICT = """
import pickle
with open({path!r}, "rb") as file:
    classifier, X = pickle.load(file)
classifier.predict(X)
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    print(describe())
    X, y = load_iris(return_X_y=True)
    classifier = NASMLPClassifier(n_rounds=1, n_architectures=2, random_state=0)
    classifier.fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.pickle"
        path.write_bytes(pickle.dumps((classifier, X)))
        programs = {"": "pass"} | IMPORTS
        programs["unpickle and predict"] = PREDICT.format(path=str(path))
        seconds = np.empty((repeats, len(programs)))
        for repeat in range(repeats):
            for column, program in enumerate(programs.values()):
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", program], check=True)
                seconds[repeat, column] = time.perf_counter() - start
    seconds -= seconds[:, :1]
    print(f"\nmedians of {repeats}\n{'':26} {'seconds':>8} {'ratio':>6}")
    for column, name in enumerate(programs):
        if name:
            ratio = np.median(seconds[:, column] / seconds[:, 1])
            print(f"{name:26} {np.median(seconds[:, column]):8.2f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
