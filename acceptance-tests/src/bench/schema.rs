//! The first answer to GetProviderSchema, which every command of a CLI waits for.

use std::time::Instant;

use anyhow::Result;
use tfplugin::client::{Launch, Plugin};
use tfplugin::wire::tfplugin6::get_provider_schema;

use super::sample::status;
use super::{Cost, Options, Peer, Row, median_cost};

/// How often each is asked; the median counts.
const RUNS: usize = 11;

pub(super) fn measure(options: &Options, peers: &[Peer]) -> Result<Vec<Row>> {
    let ours = Peer { name: "dr".into(), binary: options.provider.clone() };
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows = Vec::new();
    for peer in std::iter::once(&ours).chain(peers) {
        let mut costs = Vec::new();
        for _ in 0..RUNS {
            match runtime.block_on(once(peer)) {
                Ok(cost) => costs.push(cost),
                // Our client speaks protocol 6 alone, and some peers do not.
                Err(error) if peer != &ours => {
                    eprintln!("the schema of {} is left out: {error}", peer.name);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if !costs.is_empty() {
            let cost = median_cost(costs);
            rows.push(Row {
                what: "GetProviderSchema, first call".into(),
                by: peer.name.clone(),
                aim: if peer == &ours { "5 ms".into() } else { String::new() },
                cost,
            });
        }
    }
    Ok(rows)
}

async fn once(peer: &Peer) -> Result<Cost> {
    let plugin = Plugin::launch(Launch { tls: false, ..Launch::new(&peer.binary) }).await?;
    let mut provider = plugin.provider();
    let began = Instant::now();
    provider.get_provider_schema(get_provider_schema::Request::default()).await?;
    let seconds = began.elapsed().as_secs_f64();
    let memory = plugin.pid().and_then(|process| status(process, "VmHWM:")).unwrap_or_default();
    plugin.stop().await?;
    Ok(Cost { seconds, memory, ..Cost::default() })
}
