//! Writes content into a new file and leaves holes where it is long runs of zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Zeros are looked for in blocks of this size, the smallest hole of common file systems.
const BLOCK: usize = 4096;

/// Shorter runs are written: a hole costs an extent.
const SHORTEST_HOLE: usize = 64 * 1024;

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes `data` at `offset` of a file that has nothing there yet.
pub(super) fn write(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    let mut from = 0;
    for hole in holes(data) {
        file.write_all_at(&data[from..hole.start], offset + from as u64)?;
        from = hole.end;
    }
    if from < data.len() {
        file.write_all_at(&data[from..], offset + from as u64)?;
    }
    Ok(())
}

/// Runs of zeros that are longer than [`SHORTEST_HOLE`].
fn holes(data: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut holes = Vec::new();
    let mut start = None;
    for (index, block) in data.chunks(BLOCK).enumerate() {
        let zero = block == &ZEROS[..block.len()];
        match (zero, start) {
            (true, None) => start = Some(index * BLOCK),
            (false, Some(from)) => {
                push(&mut holes, from..index * BLOCK);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        push(&mut holes, from..data.len());
    }
    holes
}

fn push(holes: &mut Vec<std::ops::Range<usize>>, hole: std::ops::Range<usize>) {
    if hole.len() > SHORTEST_HOLE {
        holes.push(hole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn only_long_runs_of_zeros_become_holes() {
        let mut data = vec![1; 8 * BLOCK];
        data.extend(vec![0; SHORTEST_HOLE]);
        data.extend(vec![1; BLOCK]);
        assert_eq!(holes(&data), Vec::<std::ops::Range<usize>>::new());
        data.extend(vec![0; SHORTEST_HOLE + BLOCK]);
        data.push(7);
        let hole = holes(&data).pop().unwrap();
        assert_eq!((hole.start, hole.len()), (9 * BLOCK + SHORTEST_HOLE, SHORTEST_HOLE + BLOCK));
    }

    #[test]
    fn a_file_with_holes_reads_as_what_was_written() {
        let mut data = vec![0; 1 << 20];
        data[5000] = 1;
        data.push(9);
        let file = tempfile::tempfile().unwrap();
        write(&file, &data, 0).unwrap();
        let mut back = vec![7; data.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == data);
        assert!(file.metadata().unwrap().blocks() * 512 < 512 * 1024);
    }
}
