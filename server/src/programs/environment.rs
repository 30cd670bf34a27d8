//! The variables of the environment that the founding documents' programs use, and the file `.env` in the
//! working directory. A variable that is set wins over the file.

use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Variables by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    of_file: HashMap<String, String>,
    /// Tests leave the process's own variables out.
    reads_process: bool,
}

impl Environment {
    /// The process's variables, and those of `.env`, if there is one. `Err` says which line is wrong.
    pub(crate) fn load() -> Result<Self, String> {
        Ok(Self {
            of_file: file(Path::new(".env"))?,
            reads_process: true,
        })
    }

    /// The variable's value. One that is empty counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let of_process = || std::env::var(name).ok();
        let of_file = || self.of_file.get(name).cloned();
        let value = self.reads_process.then(of_process).flatten();
        let value = value.filter(|it| !it.is_empty()).or_else(of_file)?;
        (!value.is_empty()).then_some(value)
    }
}

fn file(path: &Path) -> Result<HashMap<String, String>, String> {
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(HashMap::new());
        }
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let read = lines.collect::<Result<HashMap<_, _>, _>>();
    read.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
impl Environment {
    /// These variables alone.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            of_file: variables.iter().map(owned).collect(),
            reads_process: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_what_no_variable_does() {
        let folder = testbed::Folder::new();
        let path = folder.path().join(".env");
        assert_eq!(file(&path).unwrap().len(), 0, "there need not be one");
        std::fs::write(&path, "# ours\nDEVICE_ID=a\nBROKER=\"mqtt://h\"\nEMPTY=\n").unwrap();
        let environment = Environment {
            of_file: file(&path).unwrap(),
            reads_process: false,
        };
        assert_eq!(environment.get("DEVICE_ID").as_deref(), Some("a"));
        assert_eq!(environment.get("BROKER").as_deref(), Some("mqtt://h"));
        assert_eq!(
            (environment.get("EMPTY"), environment.get("X")),
            (None, None)
        );
        std::fs::write(&path, "A=1\nno line\n").unwrap();
        assert!(file(&path).unwrap_err().contains("no line"));
    }
}
