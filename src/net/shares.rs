//! stub
use crate::control;
#[derive(Debug)]
pub(crate) struct Shelf {}
impl Shelf {
    pub(crate) fn list(&self) -> Vec<control::Share> {
        vec![]
    }
    pub(crate) fn files(&self) -> Vec<control::File> {
        vec![]
    }
    pub(crate) fn rescan(&self) -> Result<(), String> {
        Ok(())
    }
    pub(crate) fn left_out(&self) -> Vec<control::Reply> {
        vec![]
    }
}
