"""What each part of the search is worth, at equal cost.

python tests/benchmarks/bench_ablation.py [--tables FOLDER] [--seeds 5]
    [--max-rows 2000] [--results FILE.jsonl] [--report-only] [--variants a,b]
    [--search-only]

Each variant is the whole estimator, with the same recipe and ensemble: the fixed first
architecture without search, random search, random proposals screened by the predictor,
REINFORCE, and REINFORCE with shared weights, without predictor, without replays. The
seed decides the split of the table too. --search-only leaves out finalists and refit:
for what the last round proposes, more seeds can be afforded so.
"""

import argparse
import json
import warnings
from pathlib import Path

import pandas as pd
from machine import describe
from scipy.stats import t, wilcoxon
from tables import load, names, split

from sknas import NASMLPClassifier, ReinforceStrategy


class ScreenedRandomStrategy(ReinforceStrategy):
    """Draws from the prior of the space; the predictor picks, as for REINFORCE."""

    def begin(self):
        super().begin()
        # The LSTM learns from the predictor's loss alone.
        policy_loss = self._learner.policy_loss
        self._learner.policy_loss = lambda *arguments: (
            0.0 * policy_loss(*arguments)[0],
            {},
        )

    def draw(self, n):
        return [self.space_.sample(self.generator_) for _ in range(n)]


SEARCH_ONLY = {"n_finalists": 0, "n_ensemble": 1, "max_iter": 1}
VARIANTS = {
    "fixed": {"n_rounds": 1, "n_architectures": 1, "n_finalists": 1},
    "random": {"search_strategy": "random"},
    "screened": {"search_strategy": ScreenedRandomStrategy(n_replays=0)},
    # As many seconds as REINFORCE, whose architectures are larger.
    "random 8 rounds": {"search_strategy": "random", "n_rounds": 8},
    "screened 8 rounds": {
        "search_strategy": ScreenedRandomStrategy(n_replays=0),
        "n_rounds": 8,
    },
    "reinforce": {},
    "sharing": {"weight_sharing": True},
    "no predictor": {"search_strategy": ReinforceStrategy(accuracy_predictor=False)},
    "no replays": {"search_strategy": ReinforceStrategy(n_replays=0)},
}


def measure(arguments):
    done = {
        (row["data"], row["variant"], row["seed"]) for row in read(arguments.results)
    }
    for name in names(arguments.tables):
        if arguments.names and name not in arguments.names.split(","):
            continue
        X, y = load(arguments.tables, name)
        for seed in range(arguments.seeds):
            X_train, X_test, y_train, y_test = split(X, y, seed, arguments.max_rows)
            for variant in arguments.variants.split(","):
                if (name, variant, seed) in done:
                    continue
                settings = VARIANTS[variant]
                if arguments.search_only:
                    settings = {**settings, **SEARCH_ONLY}
                classifier = NASMLPClassifier(random_state=seed, **settings)
                classifier.fit(X_train, y_train)
                rounds = classifier.round_results_
                results = classifier.search_results_
                is_last = results["round"] == results["round"].max()
                row = {
                    "data": name,
                    "variant": variant,
                    "seed": seed,
                    "test": round(classifier.score(X_test, y_test), 5),
                    "last round": round(float(rounds["mean_score"][-1]), 5),
                    "last reward": round(float(results["reward"][is_last].mean()), 5),
                    "search seconds": round(float(rounds["time"].sum()), 2),
                    "best_score": round(classifier.best_score_, 5),
                }
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def read(path):
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def report(rows, search_only):
    frame = pd.DataFrame(rows)
    columns = ["last round", "last reward", "search seconds"]
    if not search_only:
        columns.insert(2, "test")
    for column in columns:
        means = frame.pivot_table(
            index="data", columns="variant", values=column, sort=False
        ).dropna(axis=1)
        variants = [variant for variant in VARIANTS if variant in means]
        means = means[variants]
        print(f"\n{column}, means of {frame['seed'].nunique()} seeds")
        print(means.round(4).to_string())
        print("mean:", means.mean().round(4).to_dict())
        if "reinforce" not in means or column == "search seconds":
            continue
        for variant in means.columns.drop("reinforce"):
            difference = means["reinforce"] - means[variant]
            half = t.ppf(0.975, len(difference) - 1) * difference.sem()
            p = wilcoxon(difference).pvalue if difference.any() else 1.0
            print(
                f"REINFORCE - {variant}: {difference.mean():+.4f} +- {half:.4f}, "
                f"higher on {int((difference > 0).sum())} of {len(difference)}, "
                f"lower on {int((difference < 0).sum())}, Wilcoxon p = {p:.3g}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--names", help="of tables, all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-rows", type=int, default=2000)
    parser.add_argument("--results", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--search-only", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    print(describe())
    if not arguments.report_only:
        measure(arguments)
    report(read(arguments.results), arguments.search_only)


if __name__ == "__main__":
    main()
