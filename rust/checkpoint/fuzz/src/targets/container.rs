//! Compressed shards.

use crate::container::{self, ContainerHeader, FOOTER, Frame, PREFIX};

use super::input::Input;

/// Bytes of a frame that is unpacked at most: a few bytes can stand for any number.
const MOST: u64 = 1 << 20;

/// A file of the fields that the input gives, with sound checksums, then damaged; or the input itself.
pub fn container(data: &[u8]) {
    let mut input = Input(data);
    if input.byte() % 4 == 0 {
        return file(input.rest());
    }
    let chunk = 4096 + input.number(2);
    let header = ContainerHeader { text: input.short().to_vec(), raw: input.number(3), chunk };
    let head = container::write_head(&header);
    let mut bytes = head.clone();
    let mut frames = Vec::new();
    for number in 0..header.raw.div_ceil(chunk).min(8) {
        let how = input.byte();
        let content = input.long();
        let raw = vec![how; container::raw_size(&header, number) as usize];
        let (packed, frame) = match how % 3 {
            0 => container::pack(&raw, 1).expect("memory is enough"),
            _ => {
                let crc = crc32c::crc32c(content);
                let length = content.len() as u32;
                let frame = Frame { offset: 0, length, stored: how % 3 == 1, packed: crc, raw: crc };
                (content.to_vec(), frame)
            }
        };
        frames.push(Frame { offset: bytes.len() as u64 + u64::from(how == 255), ..frame });
        bytes.extend(packed);
    }
    let at = bytes.len() as u64;
    bytes.extend(container::write_tail(&frames, at, &head));
    input.damage(&mut bytes);
    file(&bytes);
}

/// Reads a file as an open shard does.
fn file(bytes: &[u8]) {
    let size = bytes.len() as u64;
    let Ok(Some(length)) = container::announced(bytes, size) else { return };
    let Some(head) = bytes.get(..(PREFIX + length) as usize) else { panic!("a header longer than its file") };
    let Ok(header) = container::parse_head(head) else { return };
    let Ok((at, crc)) = container::parse_footer(&bytes[(size - FOOTER) as usize..], head, size) else { return };
    let table = &bytes[at as usize..(size - FOOTER) as usize];
    let Ok(frames) = container::parse_table(table, crc, &header, head.len() as u64, at) else { return };
    assert_eq!(frames.len() as u64, header.raw.div_ceil(header.chunk));
    let mut end = head.len() as u64;
    for (number, frame) in frames.iter().enumerate() {
        assert!(frame.offset >= end && frame.offset + u64::from(frame.length) <= at);
        end = frame.offset + u64::from(frame.length);
        let raw = container::raw_size(&header, number as u64);
        if raw > MOST {
            continue;
        }
        let mut raw = vec![0; raw as usize];
        let _ = container::unpack(&bytes[frame.offset as usize..end as usize], frame, &mut raw);
    }
}
