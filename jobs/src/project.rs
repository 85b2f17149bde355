//! A project on disk: configuration, contracts, SQL, checks and profile, loaded once and found consistent.
//!
//! Everything a run depends on besides raw files and code is read here, so that `config_sha256` of a table can be the
//! digest of exactly these texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use windrow_core::contract::{self, TransformKind};
use windrow_core::gate::{Check, Metric, Number, Severity, Threshold};
use windrow_core::id::{DatasetName, Layer, Table};
use windrow_core::profile::Profile;
use windrow_core::{Code, Contract, Diagnostic, Error, ErrorKind, PartitionWindow, Place, Result, canonical, suggest, yaml};

use crate::config::{self, Config};

/// A loaded project.
#[derive(Debug)]
pub struct Project {
    /// The folder that holds windrow.toml.
    pub root: PathBuf,
    /// The configuration.
    pub config: Config,
    /// The threshold profile.
    pub profile: Profile,
    contracts: BTreeMap<Table, Contract>,
    /// Tables whose contract is there and could not be read: what refers to them is not to blame.
    unread: Vec<Table>,
    sql: BTreeMap<String, String>,
    checks: BTreeMap<Table, Vec<Check>>,
    check_texts: BTreeMap<Table, Vec<(String, String)>>,
}

/// Finds the project: the given folder, or the nearest one upwards from `start` that holds windrow.toml.
///
/// # Errors
/// `Misconfigured` when there is none.
pub fn find_root(given: Option<&Path>, start: &Path) -> Result<PathBuf> {
    if let Some(folder) = given {
        if folder.join(config::FILE_NAME).is_file() {
            return Ok(folder.to_owned());
        }
        return Err(Error::misconfigured(format!("{} holds no {}", folder.display(), config::FILE_NAME))
            .help("`windrow demo DIR` writes a project to start from"));
    }
    start.ancestors().find(|folder| folder.join(config::FILE_NAME).is_file()).map(Path::to_owned).ok_or_else(|| {
        Error::misconfigured(format!("no {} here or in any folder above", config::FILE_NAME))
            .help("name the project's folder with --project, or write an example with `windrow demo DIR`")
    })
}

impl Project {
    /// Loads a project; `profile` and `lake` override the configuration.
    ///
    /// # Errors
    /// `Misconfigured` with every finding of every file.
    pub fn load(root: &Path, lake: Option<&str>, profile: Option<&str>) -> Result<Project> {
        let (project, findings) = Project::load_with_findings(root, lake, profile)?;
        if findings.is_empty() { Ok(project) } else { Err(Error::from_diagnostics(ErrorKind::Misconfigured, findings)) }
    }

    /// Loads what can be loaded, with all findings beside it; for `windrow contract lint`.
    ///
    /// # Errors
    /// `Misconfigured` when there is nothing to look at: no configuration, or folders that cannot be read.
    pub fn load_with_findings(root: &Path, lake: Option<&str>, profile: Option<&str>) -> Result<(Project, Vec<Diagnostic>)> {
        let mut findings = Vec::new();
        let text = read_text(&root.join(config::FILE_NAME))?;
        let mut config = Config::read(config::FILE_NAME, &text)
            .map_err(|finding| Error::from_diagnostics(ErrorKind::Misconfigured, vec![*finding]))?;
        config.lake = lake.unwrap_or(&config.lake).to_owned();
        config.profile = profile.unwrap_or(&config.profile).to_owned();
        let (contracts, unread) = load_contracts(root, &mut findings)?;
        let profile = load_profile(root, &config.profile, &mut findings)?;
        let mut project = Project {
            root: root.to_owned(),
            config,
            profile,
            contracts,
            unread,
            sql: BTreeMap::new(),
            checks: BTreeMap::new(),
            check_texts: BTreeMap::new(),
        };
        project.load_sql(&mut findings);
        project.load_checks(&mut findings)?;
        project.stray_checks(&mut findings)?;
        project.other_profiles(&mut findings)?;
        project.references(&mut findings);
        findings.sort_by(|a, b| (&a.place, &a.title).cmp(&(&b.place, &b.title)));
        Ok((project, findings))
    }

    /// The contract of a table.
    ///
    /// # Errors
    /// `Misconfigured`, with did-you-mean, when there is none.
    pub fn contract(&self, table: &Table) -> Result<&Contract> {
        self.contracts.get(table).ok_or_else(|| {
            let names: Vec<String> = self.contracts.keys().map(Table::to_string).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Error::misconfigured(format!(
                "no contract for {table}: schemas/{}.{}.odcs.yaml does not exist",
                table.dataset, table.layer
            ))
            .help(suggest::hint(&table.to_string(), &names))
        })
    }

    /// The contract of a table, for a window of its grain.
    ///
    /// # Errors
    /// As [`Project::contract`]; `Usage` when the window is of another grain.
    pub fn contract_at(&self, table: &Table, window: &PartitionWindow) -> Result<&Contract> {
        let contract = self.contract(table)?;
        let rule = &contract.window;
        if window.grain() == rule.grain {
            return Ok(contract);
        }
        let message = format!("`{window}` names one {}, the contract's windows are {}s", window.grain(), rule.grain);
        Err(Error::new(ErrorKind::Usage, message).help(format!("see {}", rule.place)))
    }

    /// The contract of a dataset in a layer, if there is one.
    pub fn contract_of(&self, layer: Layer, dataset: &DatasetName) -> Option<&Contract> {
        self.contracts.get(&Table::new(layer, dataset.clone()))
    }

    /// All contracts, by table.
    pub fn contracts(&self) -> impl Iterator<Item = &Contract> {
        self.contracts.values()
    }

    /// The names of all datasets.
    pub fn datasets(&self) -> Vec<&DatasetName> {
        let mut names: Vec<&DatasetName> = self.contracts.keys().map(|table| &table.dataset).collect();
        names.dedup();
        names.sort();
        names.dedup();
        names
    }

    /// The checks of a table with the profile applied: the contract's rules, then the SQL files by name.
    pub fn checks(&self, table: &Table) -> &[Check] {
        self.checks.get(table).map_or(&[], Vec::as_slice)
    }

    /// The text of an SQL transform.
    pub fn sql(&self, file: &str) -> Option<&str> {
        self.sql.get(file).map(String::as_str)
    }

    /// The digest of everything besides raw files and code that a table's rows and gate depend on. How large files become does not
    /// count: `windrow compact` brings published windows to another size without computing them again.
    ///
    /// # Errors
    /// `Internal` when it cannot be computed.
    pub fn config_sha256(&self, table: &Table) -> Result<String> {
        let contract = self.contract(table)?;
        let mut parts = vec![("contract".to_owned(), contract.rows_sha256.clone())];
        parts.push(("profile".to_owned(), self.profile.sha256.clone()));
        if table.layer == Layer::Clean {
            let raw = self.contract(&Table::new(Layer::Raw, table.dataset.clone()))?;
            parts.push(("raw contract".to_owned(), raw.rows_sha256.clone()));
        }
        if let Some(TransformKind::Sql(file)) = contract.transform.as_ref().map(|transform| &transform.kind) {
            parts.push(("sql".to_owned(), canonical::sha256_hex(self.sql(file).unwrap_or_default().as_bytes())));
        }
        for (name, text) in self.check_texts.get(table).map_or(&[][..], Vec::as_slice) {
            parts.push((format!("check {name}"), canonical::sha256_hex(text.as_bytes())));
        }
        Ok(canonical::sha256_hex(&canonical::to_bytes(&parts)?))
    }

    fn load_sql(&mut self, findings: &mut Vec<Diagnostic>) {
        let mut found = BTreeMap::new();
        for contract in self.contracts.values() {
            let Some(transform) = &contract.transform else { continue };
            let TransformKind::Sql(file) = &transform.kind else { continue };
            match read_text(&self.root.join("jobs/sql").join(file)) {
                Ok(text) => {
                    found.insert(file.clone(), text);
                }
                Err(_) => {
                    let title = format!("jobs/sql/{file} does not exist or cannot be read as text");
                    findings.push(at(contract, &transform.place, title, "write the file, or correct the name"));
                }
            }
        }
        self.sql = found;
    }

    fn load_checks(&mut self, findings: &mut Vec<Diagnostic>) -> Result<()> {
        for (table, contract) in &self.contracts {
            let mut checks = contract.checks.clone();
            let mut texts = Vec::new();
            for (name, text) in sql_checks(&self.root, contract, findings)? {
                let file = format!("quality/checks/{}/{}/{name}.sql", table.dataset, table.layer);
                if checks.iter().any(|check| check.id == name) {
                    findings.push(Diagnostic::new(
                        Code::ContractConflict,
                        Place::file(file.as_str()),
                        format!("check `{name}` has the id of a quality rule in {}", contract.file),
                    ));
                }
                checks.push(Check {
                    id: name.clone(),
                    metric: Metric::SqlRows(text.clone()),
                    threshold: Threshold::MustBe(Number::whole(0)),
                    severity: Severity::Error,
                    place: Place::file(file),
                });
                texts.push((name, text));
            }
            self.profile.apply(&mut checks);
            self.checks.insert(table.clone(), checks);
            self.check_texts.insert(table.clone(), texts);
        }
        Ok(())
    }

    /// Names in one file that must exist in another.
    fn references(&self, findings: &mut Vec<Diagnostic>) {
        for contract in self.contracts.values() {
            self.needs_layer_below(contract, findings);
            for input in contract.transform.iter().flat_map(|transform| &transform.inputs) {
                let Some(transform) = &contract.transform else { continue };
                if self.unread.contains(input) {
                    continue;
                }
                let Some(other) = self.contracts.get(input) else {
                    let names: Vec<String> = self.contracts.keys().map(Table::to_string).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let hint = suggest::hint(&input.to_string(), &names);
                    findings.push(at(contract, &transform.place, format!("input `{input}` has no contract"), &hint));
                    continue;
                };
                if other.window.grain != contract.window.grain || other.window.zone != contract.window.zone {
                    let title = format!("input `{input}` has other windows ({}, {})", other.window.grain, other.window.zone);
                    findings.push(at(contract, &transform.place, title, "a table and its inputs share grain and zone"));
                }
            }
        }
        self.overrides_exist(&self.profile, findings);
    }

    /// Every override of a profile names a check of some contract; unknown while a contract could not be read.
    fn overrides_exist(&self, profile: &Profile, findings: &mut Vec<Diagnostic>) {
        if !self.unread.is_empty() {
            return;
        }
        let ids: Vec<&str> = self.checks.values().flatten().map(|check| check.id.as_str()).collect();
        for change in &profile.overrides {
            if !ids.contains(&change.id.as_str()) {
                let title = format!("the profile overrides check `{}`, which no contract has", change.id);
                let hint = suggest::hint(&change.id, &ids);
                findings.push(Diagnostic::new(Code::ContractReference, change.place.clone(), title).help(hint));
            }
        }
    }

    /// The profiles that this run does not use are checked all the same, so that none is found broken on the day it is needed.
    fn other_profiles(&self, findings: &mut Vec<Diagnostic>) -> Result<()> {
        let folder = self.root.join("quality/profiles");
        for file in file_names(&folder)?
            .iter()
            .filter(|file| file.ends_with(".yaml") && file.trim_end_matches(".yaml") != self.profile.name)
        {
            match Profile::read(&format!("quality/profiles/{file}"), &read_text(&folder.join(file))?) {
                Ok(profile) => self.overrides_exist(&profile, findings),
                Err(found) => findings.extend(found),
            }
        }
        Ok(())
    }

    /// Folders of checks that belong to no table: a misspelt name would switch its checks off without a word.
    fn stray_checks(&self, findings: &mut Vec<Diagnostic>) -> Result<()> {
        let known: Vec<&str> = self.datasets().into_iter().map(DatasetName::as_str).collect();
        for dataset in file_names(&self.root.join("quality/checks"))? {
            for layer in file_names(&self.root.join("quality/checks").join(&dataset))? {
                let table = dataset.parse().ok().zip(layer.parse().ok()).map(|(dataset, layer)| Table::new(layer, dataset));
                let is_known = table.is_some_and(|table| self.contracts.contains_key(&table) || self.unread.contains(&table));
                if !is_known {
                    let place = Place::file(format!("quality/checks/{dataset}/{layer}"));
                    let title = format!("these checks belong to no contract: {layer}.{dataset} is not declared");
                    findings.push(Diagnostic::new(Code::ContractReference, place, title).help(suggest::hint(&dataset, &known)));
                }
            }
        }
        Ok(())
    }

    fn needs_layer_below(&self, contract: &Contract, findings: &mut Vec<Diagnostic>) {
        if contract.layer() != Layer::Clean {
            return;
        }
        match self.contract_of(Layer::Raw, contract.dataset()) {
            None if self.unread.contains(&Table::new(Layer::Raw, contract.dataset().clone())) => {}
            None => findings.push(Diagnostic::new(
                Code::ContractReference,
                Place::file(contract.file.clone()),
                format!("a clean contract needs schemas/{}.raw.odcs.yaml", contract.dataset()),
            )),
            Some(raw) if raw.window.grain != contract.window.grain || raw.window.zone != contract.window.zone => {
                let title = format!("the raw contract has other windows ({}, {})", raw.window.grain, raw.window.zone);
                findings.push(at(contract, &contract.window.place, title, "raw and clean share grain and zone"));
            }
            Some(_) => {}
        }
    }
}

fn at(contract: &Contract, place: &Place, title: String, help: &str) -> Diagnostic {
    yaml::with_line(Diagnostic::new(Code::ContractReference, place.clone(), title), &contract.text, 1).help(help)
}

/// Reads a text file.
///
/// # Errors
/// `Misconfigured` naming the path.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        let what = if error.kind() == std::io::ErrorKind::NotFound { "does not exist" } else { "cannot be read as text" };
        let error_kind =
            if error.kind() == std::io::ErrorKind::PermissionDenied { ErrorKind::AccessDenied } else { ErrorKind::Misconfigured };
        Error::new(error_kind, format!("{} {what}", path.display())).caused_by(error)
    })
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::misconfigured(format!("{} cannot be listed", folder.display())).caused_by(error)),
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn load_contracts(root: &Path, findings: &mut Vec<Diagnostic>) -> Result<(BTreeMap<Table, Contract>, Vec<Table>)> {
    let folder = root.join("schemas");
    let names = file_names(&folder)?;
    let mut contracts = BTreeMap::new();
    let mut unread = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml")) {
        let text = read_text(&folder.join(name))?;
        match contract::read(&format!("schemas/{name}"), &text) {
            Ok(contract) => {
                contracts.insert(contract.table.clone(), contract);
            }
            Err(found) => {
                findings.extend(found);
                unread.extend(table_of_file(name));
            }
        }
    }
    if contracts.is_empty() && findings.is_empty() {
        return Err(Error::misconfigured(format!("{} holds no contract", folder.display()))
            .help("a dataset needs schemas/<dataset>.raw.odcs.yaml and schemas/<dataset>.clean.odcs.yaml"));
    }
    Ok((contracts, unread))
}

fn table_of_file(name: &str) -> Option<Table> {
    let (dataset, layer) = name.strip_suffix(".odcs.yaml")?.split_once('.')?;
    Some(Table::new(layer.parse().ok()?, dataset.parse().ok()?))
}

fn load_profile(root: &Path, name: &str, findings: &mut Vec<Diagnostic>) -> Result<Profile> {
    let folder = root.join("quality/profiles");
    let legal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let known: Vec<String> =
        file_names(&folder)?.into_iter().filter_map(|file| file.strip_suffix(".yaml").map(str::to_owned)).collect();
    if !legal || !known.iter().any(|other| other == name) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(Error::misconfigured(format!(
            "threshold profile `{}` does not exist in quality/profiles/",
            name.escape_debug()
        ))
        .help(suggest::hint(name, &known)));
    }
    let text = read_text(&folder.join(format!("{name}.yaml")))?;
    match Profile::read(&format!("quality/profiles/{name}.yaml"), &text) {
        Ok(profile) => Ok(profile),
        Err(found) => {
            findings.extend(found);
            Ok(Profile { name: name.to_owned(), sha256: String::new(), overrides: Vec::new() })
        }
    }
}

/// The SQL checks of a table; the contract's list and the folder must agree in both directions.
fn sql_checks(root: &Path, contract: &Contract, findings: &mut Vec<Diagnostic>) -> Result<Vec<(String, String)>> {
    let below = format!("quality/checks/{}/{}", contract.dataset(), contract.layer());
    let folder = root.join(&below);
    let present: Vec<String> =
        file_names(&folder)?.into_iter().filter_map(|file| file.strip_suffix(".sql").map(str::to_owned)).collect();
    let present_refs: Vec<&str> = present.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for (name, place) in &contract.sql_checks {
        if present.contains(name) {
            found.push((name.clone(), read_text(&folder.join(format!("{name}.sql")))?));
        } else {
            let title = format!("check `{name}` has no file {below}/{name}.sql");
            findings.push(at(contract, place, title, &suggest::hint(name, &present_refs)));
        }
    }
    for name in present.iter().filter(|name| !contract.sql_checks.iter().any(|(listed, _)| listed == *name)) {
        let title = format!("check file is not listed under `checks` in {}", contract.file);
        let place = Place::file(format!("{below}/{name}.sql"));
        findings.push(
            Diagnostic::new(Code::ContractReference, place, title)
                .help("list it, so that deleting the file can never go unnoticed"),
        );
    }
    Ok(found)
}
