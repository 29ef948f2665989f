//! `lab`: the laboratory.

use structopt::StructOpt;

/// Many nodes from one file.
#[derive(Clone, Debug, StructOpt)]
pub struct LabArgs {}
