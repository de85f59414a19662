//! Runs of the toy engine: what happens once, what is undone, what survives a killed process.

mod backup;
mod conformance;
mod declared;
mod kill;
mod machines;
mod restore;
mod seams;
mod walk;
mod world;
