//! A world as a list of steps, in a file that a person can read, shorten and keep.

use crate::plan::Plan;
use crate::step::Timed;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
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
    #[serde(default)]
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

    /// The schedule as TOML: a line for each step, and of the plan only what is not as usual.
    #[must_use]
    pub fn write(&self) -> String {
        let tables = (toml::Table::try_from(&self.plan), toml::Table::try_from(Plan::default()));
        let (Ok(mut plan), Ok(usual)) = tables else { return String::new() };
        prune(&mut plan, &usual);
        let mut text = String::new();
        if !self.finding.is_empty() {
            let _ = writeln!(text, "finding = {}", Value::from(self.finding.as_str()));
        }
        text.push_str("steps = [\n");
        for step in self.steps.iter().filter_map(|step| Value::try_from(step).ok()) {
            let _ = writeln!(text, "  {step},");
        }
        text.push_str("]\n\n");
        let plan = toml::Table::from_iter([("plan".into(), Value::Table(plan))]);
        text + &toml::to_string(&plan).unwrap_or_default()
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
