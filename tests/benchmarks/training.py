"""How the engine's benchmarks train: plain Adam, as in `MLPClassifier`."""

from sknas._engine.jobs import TrainingSettings


def plain_adam(epochs, batch_size, learning_rate_init):
    """Make settings without schedule, dropout, label smoothing or early stopping."""
    return TrainingSettings(
        max_iter=epochs,
        batch_size=batch_size,
        learning_rate_init=learning_rate_init,
        learning_rate="constant",
        solver="adam",
        alpha="auto",
        label_smoothing=0.0,
        dropout=0.0,
        n_iter_no_change=None,
        auto_decay=0.3,
    )
