"""
.. _example_regression:

==========
Regression
==========

``NASMLPRegressor`` predicts numbers, several per row if need be, and takes weights of
rows. The output compares it with ``MLPRegressor`` behind scaled inputs and a scaled
target, on a made table: two targets depend on five of ten columns, in units that differ
by nine orders of magnitude. The picture shows the predictions of both targets.
"""

# %%
# Friedman's function, and the same in other units with other noise.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_friedman1
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPRegressor

X, y = make_friedman1(1000, n_features=10, noise=1.0, random_state=0)
Y = np.column_stack([y, 1e9 * X[:, 3] ** 2])
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)

# %%
# ``NASMLPRegressor`` scales inputs and targets itself. The search runs on a reduced
# budget here.
regressor = NASMLPRegressor(
    n_rounds=2, n_architectures=4, n_splits=1, max_iter=40, random_state=0
).fit(X_train, Y_train)
mlp = TransformedTargetRegressor(
    make_pipeline(StandardScaler(), MLPRegressor(max_iter=1000, random_state=0)),
    transformer=StandardScaler(),
).fit(X_train, Y_train)

print("chosen:", regressor.best_architecture_)
predicted = regressor.predict(X_test)
of_models = {"NASMLPRegressor": predicted, "MLPRegressor": mlp.predict(X_test)}
for name, numbers in of_models.items():
    scores = r2_score(Y_test, numbers, multioutput="raw_values")
    print(f"R2 of {name}: {scores[0]:.3f} and {scores[1]:.3f}")

# %%
# Rows of weight 0 are left out; here those on which the first target is below its
# median. The predictions of these rows get worse.
is_counted = Y_train[:, 0] > np.median(Y_train[:, 0])
weighted = NASMLPRegressor(
    n_rounds=1, n_architectures=1, n_splits=1, max_iter=40, random_state=0
).fit(X_train, Y_train, sample_weight=np.where(is_counted, 1.0, 0.0))
print(f"R2 with half of the rows left out: {weighted.score(X_test, Y_test):.3f}")

# %%
# Predictions against targets, each in its own units.
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for position, axis in enumerate(axes):
    truth = Y_test[:, position]
    axis.axline((truth.mean(), truth.mean()), slope=1, color="0.6", linewidth=1)
    axis.plot(truth, predicted[:, position], "o", markersize=3, alpha=0.6)
    axis.set(title=f"target {position + 1}", xlabel="true", ylabel="predicted")
plt.show()
