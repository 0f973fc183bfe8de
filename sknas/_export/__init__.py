"""Fitted estimators in other forms."""
