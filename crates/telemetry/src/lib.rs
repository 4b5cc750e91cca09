//! Configuration layers, logs, metrics and signals: what every binary sets up before it works.
