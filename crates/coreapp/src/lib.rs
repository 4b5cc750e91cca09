//! The engine: queue, contacts, delivery, event log and callbacks. One folder a concern.
