//! Names of decoders.

use s3dlio_loader::decode::Decoder;

#[test]
fn a_decoder_is_named_as_it_is_read() {
    for text in [
        "bytes",
        "npz",
        "npy",
        "text",
        "image:rgb,hwc",
        "image:gray,chw",
        "image:7x9,pad,rgb,hwc",
        "example[a:int64]",
        "example[image/encoded:bytes,%28b%29:float32(2,3)=-0.5,c:int64(*),d:bytes(?),\u{fc}:bytes(3)]",
    ] {
        assert_eq!(text.parse::<Decoder>().unwrap().to_string(), text);
    }
    for (text, full) in [("image", "image:rgb,hwc"), ("image:chw,8x8", "image:8x8,crop,rgb,chw")] {
        assert_eq!(text.parse::<Decoder>().unwrap().to_string(), full);
    }
}

#[test]
fn what_is_no_decoder_is_refused() {
    for text in [
        "",
        "NPZ",
        "image:",
        "image:8",
        "image:0x8",
        "image:8x70000",
        "image:8x8,round",
        "image:8x8x8",
        "image:-1x8",
        "example",
        "example[]",
        "example[a]",
        "example[a:int32]",
        "example[:int64]",
        "example[a:int64,]",
        "example[a:int64,a:bytes]",
        "example[a:int64(*),a.lengths:int64]",
        "example[a:int64(-1)]",
        "example[a:int64(2]",
        "example[a:int64=x]",
        "example[a:bytes=1]",
        "example[a:int64(*)=1]",
        "example[a:int64(99999999999,99999999999)]",
        "example[%f:int64]",
        "example[%FF:int64]",
    ] {
        assert!(text.parse::<Decoder>().is_err(), "{text}");
    }
}
