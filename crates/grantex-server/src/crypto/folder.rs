//! Keys as files of a data directory: the master key, and a PEM file for each signing key.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key_ring::{
    KeyFileError, KeyRing, MASTER_KEY_FILE, MasterKey, SIGNING_KEYS_FOLDER, signing_name,
};

/// The permission bits that a key file must not have: those of its group and of other users.
const OTHERS: u32 = 0o077;
const PEM_LINE_CHARS: usize = 64;

/// The keys of a data directory.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    data_dir: PathBuf,
}

impl KeyFolder {
    /// The keys of this data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    fn signing(&self) -> PathBuf {
        self.data_dir.join(SIGNING_KEYS_FOLDER)
    }
}

impl KeyRing for KeyFolder {
    fn master_key(&self) -> Result<Option<MasterKey>, KeyFileError> {
        let path = self.locate(MASTER_KEY_FILE);
        let bytes = match read_private(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyFileError::new(&path, error.to_string())),
        };
        let key = bytes.try_into().map_err(|_| {
            KeyFileError::new(&path, "it must hold 32 bytes; restore it from a backup")
        })?;
        Ok(Some(key))
    }

    fn put_master_key(&self, key: &MasterKey) -> Result<(), KeyFileError> {
        write_private(&self.locate(MASTER_KEY_FILE), key)
    }

    fn signing_keys(&self) -> Result<BTreeMap<String, Vec<u8>>, KeyFileError> {
        let folder = self.signing();
        let failed = |error: std::io::Error| KeyFileError::new(&folder, error.to_string());
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries.map_err(failed)?,
        };
        let mut keys = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "pem")
                && let Some(kid) = path.file_stem()
            {
                keys.insert(kid.to_string_lossy().into_owned(), read_pem(&path)?);
            }
        }
        Ok(keys)
    }

    fn add_signing_key(&self, kid: &str, pkcs8: &[u8]) -> Result<(), KeyFileError> {
        let (folder, path) = (self.signing(), self.locate(&signing_name(kid)));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| KeyFileError::new(&folder, error.to_string()))?;
        write_private(&path, pem(pkcs8).as_bytes())?;
        belongs_to_its_folder(&path, &folder)
    }

    fn locate(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }
}

/// Reads a file that only its owner can read.
fn read_private(path: &Path) -> std::io::Result<Vec<u8>> {
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(std::io::Error::other(format!(
            "users other than its owner can access it (mode {mode:03o}); run `chmod 600 {}`, and \
             replace the key if it may have been read",
            path.display()
        )));
    }
    fs::read(path)
}

/// Writes a file that only its owner can read, completely or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        give_to_owner(&file, path.parent())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        // The rename has to survive a crash too.
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| KeyFileError::new(path, error.to_string()))
}

/// Gives a key file to the owner of its folder: an administrator may create a key for a service
/// that runs as another user.
fn give_to_owner(file: &fs::File, folder: Option<&Path>) -> std::io::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    let (owner, own) = (fs::metadata(folder)?, file.metadata()?);
    if owner.uid() == own.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        given => given,
    }
}

/// Checks that a new key belongs to the owner of its folder: a key that the service's user cannot
/// read would prevent the next start.
fn belongs_to_its_folder(path: &Path, folder: &Path) -> Result<(), KeyFileError> {
    let failed = |error: std::io::Error| KeyFileError::new(path, error.to_string());
    let owner = fs::metadata(folder).map_err(failed)?.uid();
    if fs::metadata(path).map_err(failed)?.uid() == owner {
        return Ok(());
    }
    fs::remove_file(path).map_err(failed)?;
    let detail = format!(
        "its folder belongs to user {owner}, who could not read the new key; run the command as \
         that user: sudo -u '#{owner}' …"
    );
    Err(KeyFileError::new(path, detail))
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index.is_multiple_of(PEM_LINE_CHARS) {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PRIVATE KEY-----\n");
    text
}

fn read_pem(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let bytes = read_private(path).map_err(|error| KeyFileError::new(path, error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| KeyFileError::no_key(path, &error))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).map_err(|error| KeyFileError::no_key(path, &error))
}
