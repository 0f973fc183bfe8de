"""The estimators: what a user of scikit-learn sees."""

from sknas._estimators.classifier import NASMLPClassifier
from sknas._estimators.regressor import NASMLPRegressor

__all__ = ["NASMLPClassifier", "NASMLPRegressor"]
