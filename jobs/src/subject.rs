//! What a call of windrow is about: verb, table and window, as far as they could be read. Results and alerts name it.

use serde_json::{Map, Value};
use windrow_core::{DatasetName, Layer, PartitionWindow};

/// What results and alerts name. Whatever could not be read is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// `raw-to-clean`, or two words for a verb of verbs: `quarantine list`.
    pub verb: Option<String>,
    /// The dataset.
    pub dataset: Option<DatasetName>,
    /// The layer, named or that of the verb.
    pub layer: Option<Layer>,
    /// The one window.
    pub window: Option<PartitionWindow>,
}

impl Subject {
    /// Reads the flags `dataset`, `layer` and `window` with `flag`; text that is none is as good as left out.
    pub fn read(verb: Option<String>, flag: impl Fn(&str) -> Option<String>) -> Self {
        let of_verb = match verb.as_deref() {
            Some("check-input") => Some(Layer::Raw),
            Some("raw-to-clean") => Some(Layer::Clean),
            Some("clean-to-curated") => Some(Layer::Curated),
            _ => None,
        };
        Subject {
            verb,
            dataset: flag("dataset").and_then(|text| text.parse().ok()),
            layer: of_verb.or_else(|| flag("layer").and_then(|text| text.parse().ok())),
            window: flag("window").and_then(|text| text.parse().ok()),
        }
    }

    /// The fields of a result.
    pub fn fields(&self) -> Map<String, Value> {
        let named = [
            ("verb", self.verb.clone()),
            ("dataset", self.dataset.as_ref().map(ToString::to_string)),
            ("layer", self.layer.map(|layer| layer.to_string())),
            ("window", self.window.map(|window| window.to_string())),
        ];
        named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect()
    }
}
