//! Diagnostics and paths.

use crate::diagnostic::{Diagnostic, Path, Severity, Step};
use crate::wire::tfplugin6::attribute_path::{self, step::Selector};
use crate::wire::tfplugin6::{self, AttributePath, FunctionError};

impl From<&Path> for AttributePath {
    fn from(path: &Path) -> Self {
        let selector = |step: &Step| match step.clone() {
            Step::Attribute(name) => Selector::AttributeName(name),
            Step::Key(key) => Selector::ElementKeyString(key),
            Step::Index(index) => Selector::ElementKeyInt(index),
        };
        let steps = path.0.iter().map(|step| attribute_path::Step { selector: Some(selector(step)) }).collect();
        AttributePath { steps }
    }
}

impl From<&AttributePath> for Path {
    /// A step that selects nothing ends the path: what lies beyond can't be known.
    fn from(path: &AttributePath) -> Self {
        let step = |step: &attribute_path::Step| {
            step.selector.clone().map(|selector| match selector {
                Selector::AttributeName(name) => Step::Attribute(name),
                Selector::ElementKeyString(key) => Step::Key(key),
                Selector::ElementKeyInt(index) => Step::Index(index),
            })
        };
        Path(path.steps.iter().map_while(step).collect())
    }
}

impl From<&Diagnostic> for tfplugin6::Diagnostic {
    fn from(diagnostic: &Diagnostic) -> Self {
        let severity = match diagnostic.severity {
            Severity::Error => tfplugin6::diagnostic::Severity::Error,
            Severity::Warning => tfplugin6::diagnostic::Severity::Warning,
        };
        tfplugin6::Diagnostic {
            severity: severity.into(),
            summary: diagnostic.summary.clone(),
            detail: diagnostic.detail.clone(),
            attribute: diagnostic.attribute.as_ref().map(AttributePath::from),
        }
    }
}

impl From<&tfplugin6::Diagnostic> for Diagnostic {
    /// What isn't a warning is an error, whatever it says.
    fn from(message: &tfplugin6::Diagnostic) -> Self {
        let severity = match message.severity() {
            tfplugin6::diagnostic::Severity::Warning => Severity::Warning,
            _ => Severity::Error,
        };
        Diagnostic {
            severity,
            summary: message.summary.clone(),
            detail: message.detail.clone(),
            attribute: message.attribute.as_ref().map(Path::from),
        }
    }
}

impl FunctionError {
    /// Why a function failed, and the argument (counted from 0) that is to blame.
    pub fn new(text: impl Into<String>, argument: Option<usize>) -> Self {
        let function_argument = argument.and_then(|argument| i64::try_from(argument).ok());
        FunctionError { text: text.into(), function_argument }
    }
}
