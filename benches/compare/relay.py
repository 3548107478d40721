"""A connection that takes its time: `relay.py PORT SERVER_PORT MILLISECONDS`.

Every byte arrives half of the milliseconds late, in both directions, and a new connection costs one way there and back
more, as its handshake would. Nothing is slower for being large. Runs until it is ended.
"""

import asyncio
import sys

PIECE_BYTES = 256 * 1024
PIECES_UNDER_WAY = 256


async def carry(reader, writer, delay, first_delay):
    """Passes on what comes, each piece `delay` after it came."""
    under_way = asyncio.Queue(PIECES_UNDER_WAY)
    sending = asyncio.create_task(send(under_way, writer))
    clock = asyncio.get_running_loop().time
    extra = first_delay
    try:
        while piece := await reader.read(PIECE_BYTES):
            await under_way.put((clock() + delay + extra, piece))
            extra = 0
    except OSError:
        pass
    await under_way.put((clock() + delay, b""))
    await sending


async def send(under_way, writer):
    clock = asyncio.get_running_loop().time
    try:
        while True:
            due, piece = await under_way.get()
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
    except OSError:
        # The other end is gone: what still comes is not waited for.
        while (await under_way.get())[1]:
            pass
    writer.close()


async def main(port, server_port, seconds):
    async def relay(client_reader, client_writer):
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server_port)
        except OSError:
            client_writer.close()
            return
        await asyncio.gather(
            carry(client_reader, server_writer, seconds / 2, seconds),
            carry(server_reader, client_writer, seconds / 2, 0),
        )

    server = await asyncio.start_server(relay, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
