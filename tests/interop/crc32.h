/* CRC-32 as zlib.crc32 computes it, so that C and Python clients can compare delivered sequences. */
#ifndef UNISONO_CRC32_H
#define UNISONO_CRC32_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint32_t crc_table[8][256];

static void crc_setup(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t value = byte;
		for (int bit = 0; bit < 8; bit++)
			value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0);
		crc_table[0][byte] = value;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int k = 1; k < 8; k++)
			crc_table[k][byte] = (crc_table[k - 1][byte] >> 8) ^
					     crc_table[0][crc_table[k - 1][byte] & 0xFF];
}

/* Continue `crc` over `length` bytes (8 at a time; little-endian machines only). */
static uint32_t crc_add(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *at = data;

	crc = ~crc;
	for (; length >= 8; length -= 8, at += 8) {
		uint32_t low, high;
		memcpy(&low, at, 4);
		memcpy(&high, at + 4, 4);
		low ^= crc;
		crc = crc_table[7][low & 0xFF] ^ crc_table[6][low >> 8 & 0xFF] ^
		      crc_table[5][low >> 16 & 0xFF] ^ crc_table[4][low >> 24] ^
		      crc_table[3][high & 0xFF] ^ crc_table[2][high >> 8 & 0xFF] ^
		      crc_table[1][high >> 16 & 0xFF] ^ crc_table[0][high >> 24];
	}
	for (; length; length--, at++)
		crc = (crc >> 8) ^ crc_table[0][(crc ^ *at) & 0xFF];
	return ~crc;
}
#endif
