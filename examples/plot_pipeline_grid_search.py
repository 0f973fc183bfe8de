"""
.. _example_pipeline_grid_search:

====================================
Mixed tables, pipelines, grid search
====================================

The output shows that ``NASMLPClassifier`` can be tuned by ``GridSearchCV`` as the last
step of a ``Pipeline``, and that it fits the same DataFrame without any
preprocessing: numbers and categories with missing values, a heavy tail, and a
category that appears only at predict time. The budget is small: 1 round of 3
architectures with layers of 16 or 64 units, 2 finalists, and 30 epochs for them and
the refit.
"""

# %%
# A table of 900 made-up orders. Whether an order is sent back depends on its price, on
# the age of the customer, on the country and on whether it is a gift. Ages and
# countries are missing here and there, and prices have a heavy tail.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

from sknas import NASMLPClassifier

generator = np.random.default_rng(0)
n_rows = 900
X = pd.DataFrame(
    {
        "price": generator.lognormal(3, 1.5, n_rows),
        "age": generator.uniform(18, 80, n_rows).round(),
        "country": generator.choice(["CH", "DE", "FR", "IT"], n_rows),
        "size": pd.Categorical(generator.choice(["S", "M", "L"], n_rows)),
        "gift": generator.random(n_rows) < 0.2,
    }
)
log_odds = (
    2.5 * np.sin(X["age"] / 10)
    + 1.5 * (np.log(X["price"]) - 3) * np.where(X["country"].isin(["CH", "IT"]), 1, -1)
    - 2.0 * X["gift"]
)
y = np.where(generator.random(n_rows) < 1 / (1 + np.exp(-log_odds)), "back", "kept")
X.loc[generator.random(n_rows) < 0.1, "age"] = np.nan
X.loc[generator.random(n_rows) < 0.1, "country"] = None

X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=1 / 3, random_state=0
)
X_test = X_test.copy()
X_test.iloc[0, X_test.columns.get_loc("country")] = "LU"  # not in the training rows
print(X_train.head().to_string())

# %%
# The usual way: the preprocessing is written down, and a grid search tunes what is
# of interest. The parameters of the classifier are reached by the name of its step.
preprocessing = make_column_transformer(
    (
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
        ["age", "gift"],
    ),
    (QuantileTransformer(n_quantiles=100, output_distribution="normal"), ["price"]),
    (OneHotEncoder(handle_unknown="ignore"), ["country", "size"]),
)
small_budget = NASMLPClassifier(
    layer_widths=(16, 64),
    n_rounds=1,
    n_architectures=3,
    n_finalists=2,
    n_splits=1,
    n_ensemble=1,
    max_iter=30,
    random_state=0,
)
pipeline = Pipeline([("preprocessing", preprocessing), ("classifier", small_budget)])
grid_search = GridSearchCV(
    pipeline,
    {
        "classifier__learning_rate_init": [0.001, 0.003, 0.01],
        "classifier__dropout": [0.0, 0.2],
    },
    cv=3,
    n_jobs=2,
)
grid_search.fit(X_train, y_train)
print(grid_search.best_params_)
print(grid_search.best_estimator_["classifier"].best_architecture_)

# %%
# The short way: the DataFrame as it is. ``encoder_`` keeps what was found in the
# columns, and the weights of the first layer have one row for each encoded column.
raw = clone(small_budget).fit(X_train, y_train)
for name, kind in zip(raw.feature_names_in_, raw.encoder_.kinds_, strict=True):
    print(f"{name:8} {kind}")
print(f"{X.shape[1]} columns become {raw.coefs_[0].shape[0]}")

# %%
# The first test row has the country that was not in the training rows. It is encoded
# as none of the known ones, and gets a prediction like any other.
print(X_test.head(1).to_string())
print(raw.classes_, raw.predict_proba(X_test.head(1)).round(3))

# %%
# Test accuracies, and the grid. Points are the mean of three folds, bars their
# standard deviation.
print(f"pipeline and grid search: {grid_search.score(X_test, y_test):.3f}")
print(f"raw DataFrame:            {raw.score(X_test, y_test):.3f}")

figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
table = pd.DataFrame(grid_search.cv_results_)
for shift, (dropout, rows) in zip(
    (0.97, 1.03), table.groupby("param_classifier__dropout"), strict=True
):
    axes.errorbar(
        rows["param_classifier__learning_rate_init"].astype(float) * shift,
        rows["mean_test_score"],
        rows["std_test_score"],
        marker="o",
        capsize=4,
        label=f"dropout={dropout}",
    )
axes.set_xscale("log")
axes.set_xticks([0.001, 0.003, 0.01], ["0.001", "0.003", "0.01"])
axes.minorticks_off()
axes.set(
    xlabel="learning_rate_init",
    ylabel="accuracy",
    title="Grid search over the pipeline",
)
axes.legend()
plt.show()
