//! A world as a list of steps, in a file that a person can read, shorten and keep.

use crate::plan::Plan;
use crate::step::Timed;
use serde::{Deserialize, Serialize};
use toml::Value;

/// A plan and exactly what happens: nothing is drawn but the delays on the way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What was found with it, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub finding: String,
    /// The world.
    pub plan: Plan,
    /// What happens, in the order of time.
    #[serde(default, rename = "step")]
    pub steps: Vec<Timed>,
}

impl Schedule {
    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// One line that says where the text is wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let schedule: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        schedule.plan.validate().map_err(|error| error.to_string())?;
        if !schedule.steps.is_sorted_by_key(|timed| timed.at) {
            return Err("the steps are not in the order of time".into());
        }
        Ok(schedule)
    }

    /// The schedule as TOML. Of the plan it names only what differs from the default.
    #[must_use]
    pub fn write(&self) -> String {
        let (Ok(mut whole), Ok(usual)) =
            (toml::Table::try_from(self), toml::Table::try_from(Plan::default()))
        else {
            return String::new();
        };
        if let Some(Value::Table(plan)) = whole.get_mut("plan") {
            prune(plan, &usual);
        }
        toml::to_string(&whole).unwrap_or_default()
    }
}

/// Takes out what is as usual.
fn prune(table: &mut toml::Table, usual: &toml::Table) {
    table.retain(|name, value| match (value, usual.get(name)) {
        (Value::Table(inner), Some(Value::Table(usual))) => {
            prune(inner, usual);
            !inner.is_empty()
        }
        (value, usual) => usual != Some(&*value),
    });
}
