"""The policy: an LSTM that writes one token per step (paper 4 and 4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sknas._space import SearchSpace

# Uniform initial weights, as in ENAS: small, so that the first policy is the prior.
_INITIAL_BOUND = 0.1
# With forget gates half closed, as they would be, the first layers of an architecture
# are forgotten by its end, which is where the predictor reads.
_FORGET_BIAS = 2.0


@dataclass(frozen=True)
class PolicyOutput:
    """What the policy says of given sequences; zero after a sequence's end token."""

    log_probabilities: Tensor  # (n_sequences, max_layers), of the tokens given
    entropies: Tensor  # (n_sequences, max_layers), of the distributions they came from
    is_token: Tensor  # (n_sequences, max_layers), False after the end
    states: Tensor  # (n_sequences, hidden_size), its last layer after the last token


class LSTMController(nn.Module):
    """Token embedding, LSTM of one or more layers, masked softmax.

    The logits are added to the log-prior of the space, which is ``-inf`` for illegal
    tokens: these have probability 0 and every ``log_prob`` is exact. So are tokens that
    do not lead to an architecture of a restricted space.

    Parameters
    ----------
    space : SearchSpace
        Whose tokens are written.
    hidden_size : int
        Units of each layer of the LSTM, and of the embedding.
    generator : torch.Generator
        Source of the initial weights.
    n_layers : int, default=1
        Layers of the LSTM, of which the last one is what the softmax reads.
    """

    log_prior: Tensor
    token_states: Tensor

    def __init__(
        self,
        space: SearchSpace,
        hidden_size: int,
        generator: torch.Generator,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        self.space = space
        # One row more than there are tokens: the empty input of the first step.
        # Made without values: the layers' own would come from the global RNG.
        self.embedding = nn.Embedding(
            space.n_tokens + 1, hidden_size, device="meta", dtype=torch.float32
        )
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size,
            num_layers=n_layers,
            batch_first=True,
            device="meta",
            dtype=torch.float32,
        )
        self.head = nn.Linear(
            hidden_size, space.n_tokens, device="meta", dtype=torch.float32
        )
        self.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-_INITIAL_BOUND, _INITIAL_BOUND, generator=generator)
            for layer in range(n_layers):
                # Four gates one after the other, the forget gate second.
                bias = getattr(self.lstm, f"bias_ih_l{layer}")
                bias[hidden_size : 2 * hidden_size] += _FORGET_BIAS
        self.register_buffer(
            "log_prior",
            torch.tensor(space.log_prior, dtype=torch.float32, device="cpu"),
        )
        states = torch.tensor(space.token_states, device="cpu")
        self.register_buffer("token_states", states)

    def _allowed(self, tokens: Tensor | list[Tensor], n: int) -> Tensor | None:
        """Return which tokens may follow each of ``n`` beginnings, None for all.

        ``tokens`` are given as one tensor, or as one for each step.
        """
        if not self.space.is_restricted:
            return None
        if not isinstance(tokens, Tensor):
            start = torch.empty((n, 0), dtype=torch.long, device="cpu")
            tokens = torch.stack(tokens, dim=1) if tokens else start
        return torch.tensor(self.space.allowed(tokens.numpy()), device="cpu")

    def _log_softmax(
        self, hidden: Tensor, step: int, previous: Tensor, allowed: Tensor | None
    ) -> Tensor:
        """Return log-probabilities of the next token, given the one before it.

        Of what is allowed behind each beginning, only that of this step counts.
        """
        prior = self.log_prior[step][self.token_states[previous]]
        if allowed is not None:
            prior = prior.masked_fill(~allowed[:, step], -math.inf)
        return torch.log_softmax(self.head(hidden) + prior, dim=-1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw sequences from the policy.

        Parameters
        ----------
        n : int
            How many.
        generator : torch.Generator
            Source of the draws.

        Returns
        -------
        Tensor of shape (n, max_layers)
            Tokens; after the first end token only end tokens.

        Raises
        ------
        FloatingPointError
            If a probability is NaN.
        """
        end = self.space.end_token
        previous = torch.full((n,), self.space.n_tokens, device="cpu")
        ended = torch.zeros(n, dtype=torch.bool, device="cpu")
        state = None
        columns: list[Tensor] = []
        for step in range(self.space.max_layers):
            # One step of the LSTM: input and output have shape (n, 1, hidden_size).
            hidden, state = self.lstm(self.embedding(previous)[:, None], state)
            allowed = self._allowed(columns, n)
            log_p = self._log_softmax(hidden[:, 0], step, previous, allowed)
            if log_p.isnan().any():
                raise FloatingPointError("The policy became NaN.")
            drawn = torch.multinomial(log_p.exp(), 1, generator=generator)[:, 0]
            previous = torch.where(ended, end, drawn)
            columns.append(previous)
            ended = ended | (previous == end)
            if ended.all():
                break
        tokens = torch.full((n, self.space.max_layers), end, device="cpu")
        tokens[:, : len(columns)] = torch.stack(columns, dim=1)
        return tokens

    def is_token(self, tokens: Tensor) -> Tensor:
        """Tell tokens from what fills a row after its first end token.

        Parameters
        ----------
        tokens : Tensor of shape (n_sequences, max_layers)
            As `sample` returns them.

        Returns
        -------
        Tensor of shape (n_sequences, max_layers)
            True up to and with the first end token.
        """
        is_end = (tokens == self.space.end_token).long()
        return is_end.cumsum(dim=1) - is_end == 0

    def forward(self, tokens: Tensor) -> PolicyOutput:
        """Read sequences in one batched pass, with gradients.

        Parameters
        ----------
        tokens : Tensor of shape (n_sequences, max_layers)
            As `sample` returns them.

        Returns
        -------
        PolicyOutput
            Log-probabilities, entropies and last states.
        """
        n_sequences = len(tokens)
        # (n_sequences, max_layers + 1): the input of a step is the token before it.
        start = tokens.new_full((n_sequences, 1), self.space.n_tokens)
        read = torch.cat([start, tokens], dim=1)
        hidden, _ = self.lstm(self.embedding(read))
        allowed = self._allowed(tokens, n_sequences)
        log_p = torch.stack(
            [
                self._log_softmax(hidden[:, step], step, read[:, step], allowed)
                for step in range(self.space.max_layers)
            ],
            dim=1,
        )
        is_token = self.is_token(tokens)
        log_probabilities = log_p.gather(2, tokens[:, :, None])[:, :, 0]
        # Filled before the product: 0 * -inf has no gradient either.
        finite_log_p = log_p.masked_fill(log_p == -math.inf, 0.0)
        plogp = log_p.exp() * finite_log_p
        # With the empty input first, position `length` is where the end token was read.
        lengths = is_token.sum(dim=1)
        return PolicyOutput(
            log_probabilities=torch.where(is_token, log_probabilities, 0.0),
            entropies=torch.where(is_token, -plogp.sum(dim=2), 0.0),
            is_token=is_token,
            states=hidden[torch.arange(n_sequences, device="cpu"), lengths],
        )

    def log_prob(self, tokens: Tensor) -> Tensor:
        """Return the log-probability of each whole sequence.

        Parameters
        ----------
        tokens : Tensor of shape (n_sequences, max_layers)
            As `sample` returns them.

        Returns
        -------
        Tensor of shape (n_sequences,)
            Differentiable.
        """
        log_probabilities: Tensor = self(tokens).log_probabilities
        return log_probabilities.sum(dim=1)
