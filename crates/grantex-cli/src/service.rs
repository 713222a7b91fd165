//! Putting the service together and running it: one file, read from top to bottom.

use std::path::Path;
use std::sync::Arc;

use grantex_core::store::Listener;
use grantex_server::{
    App, Jobs, KeyFolder, Memory, OperatorSocket, Parts, SystemClock, SystemRng, Tls,
};
use grantex_store::DataDir;
use grantex_store::sqlite::{Environment, Loss, SqliteStore};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Accept, Options};
use crate::listen::Listening;
use crate::signals::{Asked, Hangup};
use crate::{CommandError, descriptors};

/// A service that runs in this process.
pub(crate) struct Service {
    /// Where it is reached from this machine: a host and a port.
    pub(crate) authority: String,
    /// The base of its URLs.
    pub(crate) base: String,
    asked: Asked,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    store: Arc<SqliteStore>,
    _data_dir: DataDir,
}

impl Service {
    /// Opens the data directory, listens, and serves.
    pub(crate) async fn start(
        options: &Options,
        meaning: Hangup,
        accept: Accept,
    ) -> Result<Self, CommandError> {
        // From here on it ends nothing at once: what it asks for is done when the service is up.
        let hangup = signal(SignalKind::hangup())?;
        survive_file_size_limit()?;
        let Listening { listeners, address, authority } = options.listen().bind("--listen").await?;
        let mut settings = options.settings(&authority)?;
        descriptors::fit(options, &mut settings)?;
        let base = settings.public_base.clone();
        if options.public_url.is_none() && address.ip().is_unspecified() {
            tracing::warn!(%base, "clients on other machines cannot reach this base of links and \
                tokens; set --public-url");
        }
        let tls = Tls::default();
        crate::tls::load(options, &tls)?;

        let data_dir = DataDir::lock(&options.data_dir())?;
        data_dir.warn_of_other_writers(grantex_server::SIGNING_KEYS_FOLDER);
        let clock = Arc::new(SystemClock);
        let prometheus = grantex_server::install_metrics()?;
        let memory = Memory::new(&settings);
        let store = open_store(data_dir.path(), Arc::clone(&memory) as _, accept.loss())?;
        let (secrets, signing) = grantex_server::load_keys(
            store.as_ref(),
            Arc::new(KeyFolder::new(data_dir.path())),
            clock.as_ref(),
            accept.new_keys(),
        )
        .await?;

        let shutdown = CancellationToken::new();
        let app = App::new(Parts {
            settings,
            store: Arc::clone(&store) as _,
            clock,
            secrets,
            signing,
            leases: data_dir.leases(),
            memory,
            prometheus: Some(prometheus),
            shutdown: shutdown.clone(),
        });
        Jobs::start(&app);
        match OperatorSocket::bind(data_dir.path()) {
            Ok(socket) => drop(tokio::spawn(socket.serve(Arc::clone(&app)))),
            Err(error) => {
                tracing::warn!(%error, "the socket for operators cannot be created; `grantex \
                    developers` does not work with this service");
            }
        }
        let mut tasks = Vec::new();
        if let Some(address) = &options.metrics_listen {
            let Listening { listeners, address, .. } = address.bind("--metrics-listen").await?;
            tracing::info!(%address, "serving metrics");
            let serving =
                grantex_server::serve_metrics(listeners, Arc::clone(&app), shutdown.clone());
            tasks.push(tokio::spawn(serving));
        }
        let mut asked = Asked::listen()?;
        match meaning {
            Hangup::Reload => {
                reload_on_hangup(hangup, options.clone(), tls.clone(), Arc::clone(&app));
            }
            Hangup::End => asked = asked.or(hangup),
        }
        let router = grantex_server::router(&app);
        tasks.push(tokio::spawn(grantex_server::serve(
            listeners,
            router,
            app,
            tls,
            shutdown.clone(),
        )));
        tracing::info!(%address, %base, data_dir = %data_dir.path().display(), "serving");
        Ok(Self { authority, base, asked, shutdown, tasks, store, _data_dir: data_dir })
    }

    /// Waits until a signal asks for its end.
    pub(crate) async fn asked_to_end(&mut self) {
        self.asked.heard().await;
    }

    /// Ends it: streams are ended, requests finish, the store is closed.
    pub(crate) async fn stop(self) -> Result<(), CommandError> {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await?;
        }
        tokio::task::spawn_blocking(move || self.store.close()).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Opens the store of a data directory that is locked. The listener gets a notice of each commit;
/// `()` ignores them.
pub(crate) fn open_store(
    data_dir: &Path,
    listener: Arc<dyn Listener>,
    loss: Loss,
) -> Result<Arc<SqliteStore>, CommandError> {
    let environment =
        Environment { clock: Arc::new(SystemClock), rng: Arc::new(SystemRng), listener };
    Ok(Arc::new(SqliteStore::open_with(data_dir, &environment, loss)?))
}

/// On SIGHUP: certificates were renewed, or signing keys rotated.
fn reload_on_hangup(mut hangup: Signal, options: Options, tls: Tls, app: Arc<App>) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match crate::tls::load(&options, &tls) {
                Ok(true) => tracing::info!("TLS certificate reloaded"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the TLS files were not reloaded; the previous ones \
                        stay in force");
                }
            }
            match app.reload_signing_keys() {
                Ok(kid) => tracing::info!(%kid, "signing keys reloaded"),
                Err(error) => {
                    tracing::error!(%error, "the signing keys were not reloaded; the previous \
                        ones stay in force");
                }
            }
        }
    });
}

/// A file size limit (`ulimit -f`) then fails the write, as a full disk does, instead of killing
/// the process.
pub(crate) fn survive_file_size_limit() -> Result<(), CommandError> {
    /// SIGXFSZ.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    // Installing a handler is all it takes; the signal itself says nothing that the write's error
    // does not.
    drop(signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED))?);
    Ok(())
}
