//! The operator's requests to a running service: a Unix socket in the data directory, with one
//! request and one answer per connection, each a line of JSON.
//!
//! The socket's mode is 0600, and the client must be the service's own user or root: the users who
//! could read the database too.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grantex_core::model::{Actor, Tenant, Usage};
use grantex_core::store::{Needs, Page, Scope};
use grantex_core::usecase::operators;
use grantex_types::api::developers::Mode;
use grantex_types::{DeveloperId, ErrorCode, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::http::error::ApiResult;

/// The socket's file name inside the data directory.
pub const FILE_NAME: &str = "operator.sock";
/// The longest path of a socket that all systems accept: 104 bytes with the NUL on macOS, 108 on
/// Linux.
const LONGEST_PATH: usize = 103;
/// Longer than any request.
const LONGEST_REQUEST: u64 = 8 << 10;
/// Connections at once: an operator and some scripts.
const MOST_CONNECTIONS: usize = 8;
/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Developers in one answer.
const PAGE: u32 = 500;

/// A request of the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OperatorRequest {
    /// The developers, newest first, from after this one on.
    List {
        /// The last of the page before.
        after: Option<DeveloperId>,
    },
    /// One developer with its usage.
    Show {
        /// Which one.
        developer_id: DeveloperId,
    },
    /// Suspend a developer.
    Suspend {
        /// Which one.
        developer_id: DeveloperId,
        /// Why; the developer can read it later.
        reason: Option<String>,
    },
    /// End a developer's suspension.
    Resume {
        /// Which one.
        developer_id: DeveloperId,
        /// Why; the developer can read it.
        reason: Option<String>,
    },
}

/// The service's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OperatorAnswer {
    /// Some developers.
    Developers {
        /// Newest first.
        developers: Vec<DeveloperRow>,
        /// The `after` of the next page; `None` at the end.
        next_cursor: Option<DeveloperId>,
    },
    /// One developer.
    Developer(DeveloperDetail),
    /// The request was refused.
    Refused {
        /// The API's code for it.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
}

/// A developer in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeveloperRow {
    /// Its id.
    pub developer_id: DeveloperId,
    /// Its name.
    pub name: String,
    /// Its address, if it gave one.
    pub email: Option<String>,
    /// Its mode.
    pub mode: Mode,
    /// When it signed up.
    pub created_at: Timestamp,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
}

/// A developer with its usage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeveloperDetail {
    /// Who it is.
    #[serde(flatten)]
    pub developer: DeveloperRow,
    /// Streams that are open now.
    pub open_streams: usize,
    /// Retained events.
    pub events: u64,
    /// Agents that are not deleted.
    pub agents: u64,
    /// Grants in force, and those that expired within the last minute.
    pub grants: u64,
    /// Approximate size of its rows in bytes.
    pub bytes: u64,
}

impl From<Tenant> for DeveloperRow {
    fn from(tenant: Tenant) -> Self {
        let Tenant { developer, suspended_at } = tenant;
        Self {
            developer_id: developer.developer_id,
            name: developer.name,
            email: developer.email,
            mode: developer.mode,
            created_at: developer.created_at,
            suspended_at,
        }
    }
}

/// The listening socket. Dropping it removes its file.
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Who may connect, besides root.
    owner: u32,
}

impl OperatorSocket {
    /// Listens in a data directory that this process has locked.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        // The data directory is locked, so no process listens on an old socket.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = {
            let address = Address::of(data_dir)?;
            UnixListener::bind(&address.path)?
        };
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let owner = fs::metadata(&path)?.uid();
        Ok(Self { listener, path, owner })
    }

    /// Answers operators until the service shuts down.
    pub async fn serve(self, app: Arc<App>) {
        let shutdown = app.shutdown.clone();
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = async {
                    let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
                    Ok::<_, io::Error>((self.listener.accept().await?.0, place))
                } => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the operators' socket cannot accept a connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let (app, owner) = (Arc::clone(&app), self.owner);
            tokio::spawn(async move {
                match tokio::time::timeout(PATIENCE, exchange(&app, stream, owner)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an operator connection failed"),
                    Err(_) => tracing::debug!("an operator connection took too long"),
                }
                drop(place);
            });
        }
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the operators' socket cannot be removed");
        }
    }
}

async fn exchange(app: &App, stream: UnixStream, owner: u32) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if user != owner && user != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LONGEST_REQUEST).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(app, request, &Actor::operator(&format!("uid {user}"))).await,
        Err(error) => OperatorAnswer::Refused {
            code: ErrorCode::BadRequest,
            message: format!(
                "the service does not know this request ({error}); use a `grantex` of the \
                 service's version"
            ),
        },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    let stream = stream.get_mut();
    stream.write_all(&line).await?;
    stream.shutdown().await
}

async fn answer(app: &App, request: OperatorRequest, by: &Actor) -> OperatorAnswer {
    match perform(app, request, by).await {
        Ok(answer) => answer,
        Err(error) => OperatorAnswer::Refused { code: error.code, message: error.message },
    }
}

async fn perform(app: &App, request: OperatorRequest, by: &Actor) -> ApiResult<OperatorAnswer> {
    let by = by.clone();
    match request {
        OperatorRequest::List { after } => {
            let page = Page { after, offset: 0, limit: PAGE };
            let tenants =
                app.read_long(Scope::Global, move |store| operators::list(store, page)).await?;
            let is_last = tenants.len() < PAGE as usize;
            let developers: Vec<DeveloperRow> =
                tenants.into_iter().map(DeveloperRow::from).collect();
            let last = developers.last().map(|developer| developer.developer_id);
            Ok(OperatorAnswer::Developers { developers, next_cursor: last.filter(|_| !is_last) })
        }
        OperatorRequest::Show { developer_id } => detail(app, developer_id).await,
        OperatorRequest::Suspend { developer_id: id, reason } => {
            app.write(Scope::Global, Needs::NONE, "suspend_developer", move |tx| {
                operators::suspend(tx, id, by.clone(), reason.as_deref())
            })
            .await?;
            tracing::warn!(developer = %id, "an operator suspended a developer");
            detail(app, id).await
        }
        OperatorRequest::Resume { developer_id: id, reason } => {
            app.write(Scope::Global, Needs::NONE, "resume_developer", move |tx| {
                operators::resume(tx, id, by.clone(), reason.as_deref())
            })
            .await?;
            tracing::warn!(developer = %id, "an operator resumed a developer");
            detail(app, id).await
        }
    }
}

async fn detail(app: &App, id: DeveloperId) -> ApiResult<OperatorAnswer> {
    let (tenant, bounds, usage) = app
        .read(Scope::Global, move |store| {
            Ok((operators::get(store, id)?, store.log_bounds(id)?, store.usage(id)?))
        })
        .await?;
    let Usage { agents, grants, bytes } = usage;
    Ok(OperatorAnswer::Developer(DeveloperDetail {
        developer: tenant.into(),
        open_streams: app.memory.streams.count_of(id),
        events: bounds.head.saturating_sub(bounds.trimmed),
        agents,
        grants,
        bytes,
    }))
}

/// Sends a request to the service that runs on a data directory.
pub async fn ask_service(data_dir: &Path, request: &OperatorRequest) -> io::Result<OperatorAnswer> {
    let asked = async {
        let address = Address::of(data_dir)?;
        let mut stream = UnixStream::connect(&address.path).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await?;
        Ok(serde_json::from_str(&answer)?)
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// A path of the socket that is short enough for an address.
struct Address {
    path: PathBuf,
    /// Keeps a path through this folder valid.
    _folder: Option<File>,
}

impl Address {
    fn of(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE_NAME);
        if path.as_os_str().as_bytes().len() <= LONGEST_PATH {
            return Ok(Self { path, _folder: None });
        }
        // The same folder, by a shorter path.
        let folder = File::open(data_dir)?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
        if !short.exists() {
            return Err(io::Error::other(format!(
                "the path {} is longer than {LONGEST_PATH} bytes, the longest path of a socket; \
                 use a data directory with a shorter path",
                path.display()
            )));
        }
        Ok(Self { path: short.join(FILE_NAME), _folder: Some(folder) })
    }
}
