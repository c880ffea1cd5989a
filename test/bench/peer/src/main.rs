//! The backup peer of the bench: the engine of OSO Kafka Backup, with its defaults, for one topic and a local folder.
//!
//!     backup-peer backup BOOTSTRAP TOPIC FOLDER            all that the topic has now, then it ends
//!     backup-peer restore BOOTSTRAP TOPIC FOLDER INTO      into a topic that exists and is empty
//!
//! Two settings differ from the defaults, both in the peer's favor: it adds no headers of its own to the records, and it creates no
//! topic.

use anyhow::{bail, Result};
use kafka_backup_core::backup::BackupEngine;
use kafka_backup_core::config::{BackupOptions, Config, KafkaConfig, Mode, TopicSelection};
use kafka_backup_core::storage::StorageBackendConfig;
use kafka_backup_core::{RestoreEngine, RestoreOptions};

fn cluster(bootstrap: &str, topic: &str) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: bootstrap.split(',').map(str::to_owned).collect(),
        security: Default::default(),
        topics: TopicSelection { include: vec![topic.to_owned()], exclude: vec![] },
        connection: Default::default(),
    }
}

fn config(mode: Mode, folder: &str) -> Config {
    Config {
        mode,
        backup_id: "bench".to_owned(),
        source: None,
        target: None,
        storage: StorageBackendConfig::Filesystem { path: folder.into() },
        backup: None,
        restore: None,
        offset_storage: None,
        metrics: None,
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backup", bootstrap, topic, folder] => {
            let config = Config {
                source: Some(cluster(bootstrap, topic)),
                backup: Some(BackupOptions {
                    stop_at_current_offsets: true,
                    include_offset_headers: false,
                    ..Default::default()
                }),
                ..config(Mode::Backup, folder)
            };
            BackupEngine::new(config).await?.run().await?;
        }
        ["restore", bootstrap, topic, folder, into] => {
            let config = Config {
                target: Some(cluster(bootstrap, topic)),
                restore: Some(RestoreOptions {
                    topic_mapping: [(topic.to_owned(), into.to_owned())].into(),
                    ..Default::default()
                }),
                ..config(Mode::Restore, folder)
            };
            let report = RestoreEngine::new(config)?.run().await?;
            println!("{report:?}");
        }
        _ => bail!("usage: backup-peer backup BOOTSTRAP TOPIC FOLDER | restore BOOTSTRAP TOPIC FOLDER INTO"),
    }
    Ok(())
}
