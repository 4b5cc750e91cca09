//! The wire contract, held from outside: what integrators send and what they get, byte for byte.

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod types;
