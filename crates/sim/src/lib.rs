//! For tests: a seeded network, a simulated clock and reference models.
