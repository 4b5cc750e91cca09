//! The REST edge: authentication, limits, validation, and the hop to the coreapp. No state.
